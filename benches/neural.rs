//! Milliseconds a batch of each architecture with its defaults, over rows of chance: `cargo bench --bench neural -- [cpu] [gpu] [--features 32,300]`,
//! with `--features gpu` of cargo's own where an adapter is asked for. One JSON object a line; the first epoch, in which an adapter compiles its
//! programs, is told by itself. `batch_ms` is CPU time on the processor (where the system tells it) and wall time on an adapter.

use std::collections::BTreeMap;
use std::time::Instant;

use cbi::engine::neural::batch::Examples;
use cbi::engine::neural::device::{self, Place};
use cbi::engine::neural::error::NeuralError;
use cbi::engine::neural::network::Network;
use cbi::engine::neural::training::{Asked, Data, State, Watch, train};
use cbi::engine::neural::windows::{Timeline, Window};
use cbi::kinds::learner::Settings;
use cbi::kinds::{neural, neural_learner};
use fastrand::Rng;
use serde_json::{Map, Value, json};

/// The architectures with settings beside their defaults, and how many batches an epoch has.
const RUNS: [(&str, &str, usize); 9] = [
    ("dense", "{}", 100),
    ("lstm", "{}", 60),
    ("gru", "{}", 60),
    ("lstm", r#"{"layers": 2}"#, 60),
    ("gru", r#"{"layers": 2}"#, 60),
    ("tcn", "{}", 40),
    ("cnn_lstm", "{}", 40),
    ("attention", "{}", 12),
    ("attention", r#"{"layers": 2}"#, 12),
];

const EPOCHS: u32 = 4;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let named: Vec<&str> = args.iter().map(String::as_str).filter(|arg| ["cpu", "gpu"].contains(arg)).collect();
    let wide = args.iter().position(|arg| arg == "--features").and_then(|at| args.get(at + 1)).map_or("32,300", String::as_str);
    for device in if named.is_empty() { vec!["cpu"] } else { named } {
        let adapter = device::adapters().into_iter().next().map(|adapter| adapter.name).filter(|_| device == "gpu");
        match device::open(adapter.as_deref()) {
            Ok(_) if device == "gpu" && adapter.is_none() => print(&json!({"device": device, "error": "no driver names one"})),
            Ok(place) => wide.split(',').filter_map(|n| n.parse().ok()).for_each(|features| all(&place, features)),
            Err(error) => print(&json!({"device": device, "error": error.to_string()})),
        }
    }
}

fn all(place: &Place, features: usize) {
    for (architecture, more, batches) in RUNS {
        let more: Map<String, Value> = serde_json::from_str(more).unwrap_or_default();
        let params = neural::parameters(architecture, &more).unwrap_or_default();
        let settings = Settings { params, ..Settings::default() };
        let (shape, asked) = (neural_learner::shape(&settings, features), neural_learner::asked(&settings));
        let asked = Asked { epochs: EPOCHS, rounds: Some(EPOCHS), ..asked };
        let (network, data) = (Network::new(shape), rows(features, batches * asked.batch_size, settings.count("window").unwrap_or(1)));
        let mut times = Times { last: now(place), epochs: Vec::new(), place: place.clone() };
        let begun = Instant::now();
        let trained = train(&network, &data, &asked, place, &mut times);
        let found: BTreeMap<&str, Value> = [
            ("device", json!(place.name)),
            ("network", json!(network.shape)),
            ("batch_size", json!(asked.batch_size)),
            ("batches", json!(batches)),
            ("parameters", json!(network.slots.iter().map(|slot| slot.shape.iter().product::<usize>()).sum::<usize>())),
            ("first_epoch_ms", json!(times.epochs.first())),
            ("batch_ms", json!(times.epochs.iter().skip(1).copied().reduce(f64::min).map(|ms| ms / count(batches)))),
            ("wall_ms", json!(begun.elapsed().as_secs_f64() * 1e3)),
            ("error", json!(trained.err().map(|error| error.to_string()))),
        ]
        .into();
        print(&json!(found));
    }
}

#[expect(clippy::cast_precision_loss, reason = "a handful of batches")]
fn count(batches: usize) -> f64 {
    batches as f64
}

#[expect(clippy::print_stdout, reason = "the figures are what it is for")]
fn print(line: &Value) {
    println!("{line}");
}

fn rows(features: usize, count: usize, window: u32) -> Data {
    let mut rng = Rng::with_seed(1);
    let values = (0..6000 * features).map(|_| rng.f32() * 2.0 - 1.0).collect();
    let window = usize::try_from(window).unwrap_or(1);
    let windows: Vec<Window> = (0..count).map(|_| Window { end: rng.usize(window..6000), known: window }).collect();
    let wanted = windows.iter().map(|_| rng.f32()).collect();
    let train = Examples { weight: vec![1.0; count], windows, wanted };
    Data { timeline: Timeline { dates: (0..6000).collect(), features, values }, train, valid: None }
}

/// What each epoch took, in milliseconds.
struct Times {
    last: f64,
    epochs: Vec<f64>,
    place: Place,
}

impl Watch for Times {
    fn resume(&mut self, _: &Network, _: &Place) -> Option<State> {
        None
    }

    fn epoch(&mut self, _: &State, _: &Asked) -> Result<(), NeuralError> {
        let now = now(&self.place);
        self.epochs.push(now - self.last);
        self.last = now;
        Ok(())
    }
}

/// Milliseconds that this thread has computed; on an adapter, milliseconds that went by.
fn now(place: &Place) -> f64 {
    static BEGUN: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
    let computed = std::fs::read_to_string("/proc/thread-self/schedstat").ok().filter(|_| place.host);
    let computed = computed.and_then(|text| text.split(' ').next()?.parse::<f64>().ok()).map(|ns| ns / 1e6);
    computed.unwrap_or_else(|| BEGUN.elapsed().as_secs_f64() * 1e3)
}
