//! Floor 4: one file per recipe kind: what it may say, what it declares, how it runs. Kinds never see the store.

pub mod body;
pub mod checks;
pub mod command;
pub mod context;
pub mod dispatch;
pub mod ensemble;
pub mod evaluate;
pub mod evaluate_report;
pub mod forecast;
pub mod frame;
pub mod kind;
pub mod learner;
pub mod lightgbm;
pub mod naive;
pub mod probe;
pub mod query;
pub mod registry;
pub mod request;
pub mod schema;
pub mod sql;
pub mod table;
pub mod trained;
pub mod training_stanza;
pub mod view;
pub mod xgboost;
