//! Owns the list of kinds. Invariant: a stanza is declared only after its keys were checked against its kind's table.

use serde_json::Value;

use crate::base::name::nearest;
use crate::kinds::ar;
use crate::kinds::backtest;
use crate::kinds::body;
use crate::kinds::bqml;
use crate::kinds::channel;
use crate::kinds::command;
use crate::kinds::context::{DeclareContext, KindError};
use crate::kinds::drift;
use crate::kinds::elastic_net;
use crate::kinds::ensemble;
use crate::kinds::evaluate;
use crate::kinds::exponential_smoothing;
use crate::kinds::export;
use crate::kinds::forecast;
use crate::kinds::frame;
use crate::kinds::garch;
use crate::kinds::kind::Kind;
use crate::kinds::lightgbm;
use crate::kinds::naive;
use crate::kinds::neural;
use crate::kinds::pinned::{ENGINE, WAREHOUSE};
use crate::kinds::publish;
use crate::kinds::quantiles;
use crate::kinds::refit;
use crate::kinds::regime_classifier;
use crate::kinds::release;
use crate::kinds::ridge;
use crate::kinds::score;
use crate::kinds::seasonal_naive;
use crate::kinds::signal;
use crate::kinds::sql;
use crate::kinds::table;
use crate::kinds::tune;
use crate::kinds::xgboost;
use crate::model::recipe::{Declared, Stanza};

/// Every kind, in the order the documentation lists them.
pub static KINDS: &[&Kind] = &[
    &table::KIND,
    &sql::KIND,
    &frame::KIND,
    &naive::KIND,
    &seasonal_naive::KIND,
    &drift::KIND,
    &ar::KIND,
    &exponential_smoothing::KIND,
    &garch::KIND,
    &ridge::KIND,
    &elastic_net::KIND,
    &lightgbm::KIND,
    &xgboost::KIND,
    &neural::KIND,
    &bqml::KIND,
    &quantiles::KIND,
    &tune::KIND,
    &refit::KIND,
    &backtest::KIND,
    &ensemble::KIND,
    &evaluate::KIND,
    &regime_classifier::KIND,
    &forecast::KIND,
    &signal::KIND,
    &score::KIND,
    &release::KIND,
    &command::KIND,
    &publish::KIND,
];

/// Kinds that no stanza is written for.
static UNWRITTEN: &[&Kind] = &[&export::KIND, &bqml::TRAIN, &channel::KIND];

/// Kinds whose actions all speak with BigQuery. What they made is what was seen there, and nothing that is made again bit for bit.
const OBSERVING: [&str; 3] = [export::KIND.name, bqml::KIND.name, bqml::TRAIN.name];

/// Whether actions of this kind with these params speak with BigQuery.
#[must_use]
pub fn observes(kind: &str, params: &Value) -> bool {
    OBSERVING.contains(&kind) || params[ENGINE] == WAREHOUSE
}

/// Whether they run queries there, which are charged for: reading the rows of a table is none.
#[must_use]
pub fn charges(kind: &str, params: &Value) -> bool {
    let reads = kind == export::KIND.name && params["version"]["kind"].as_str().is_some_and(export::is_stored);
    observes(kind, params) && !reads
}

/// The kind with this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Kind> {
    KINDS.iter().chain(UNWRITTEN).copied().find(|kind| kind.name == name)
}

/// The stanzas with those that their kinds bring along, each after the one that brought it.
#[must_use]
pub fn with_parts(stanzas: Vec<Stanza>) -> Vec<Stanza> {
    let with_own = |stanza: Stanza| {
        let parts: Vec<Stanza> = tune::parts(&stanza).into_iter().chain(bqml::part(&stanza)).collect();
        std::iter::once(stanza).chain(parts)
    };
    stanzas.into_iter().flat_map(with_own).collect()
}

/// Checks a stanza and asks its kind what it needs.
///
/// # Errors
/// Everything wrong with its keys; where they are right, the kind's own refusal.
pub fn declare(stanza: &Stanza, context: &DeclareContext) -> Result<(u32, Declared), Vec<KindError>> {
    let Some(kind) = find(&stanza.kind) else { return Err(vec![unknown_kind(stanza)]) };
    let errors = body::check(stanza, kind.keys);
    if !errors.is_empty() {
        return Err(errors);
    }
    let declared = (kind.declare)(stanza, context).map_err(|error| vec![error])?;
    Ok((kind.version, declared))
}

fn unknown_kind(stanza: &Stanza) -> KindError {
    let names = || KINDS.iter().map(|kind| kind.name);
    let error = KindError::new(stanza.place.clone(), format!("unknown kind '{}'", stanza.kind));
    error.hint(match nearest(&stanza.kind, names()) {
        Some(near) => format!("did you mean '{near}'?"),
        None => format!("the kinds are: {}", names().collect::<Vec<_>>().join(", ")),
    })
}
