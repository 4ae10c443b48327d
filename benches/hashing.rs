//! Hashing a new file, beside `b3sum`, in pairs: `cargo bench --bench hashing [-- MIB [ROUNDS]]` (default 1024 MiB, 5 rounds).
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::cast_precision_loss)]

use std::env;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use cbi::store::memo;
use wait4::Wait4;

struct Run {
    wall: Duration,
    cpu: Duration,
    peak: u64,
}

fn run(command: &mut Command) -> Run {
    let start = Instant::now();
    let used = command.stdout(Stdio::null()).spawn().unwrap().wait4().unwrap();
    assert!(used.status.success());
    Run { wall: start.elapsed(), cpu: used.rusage.utime + used.rusage.stime, peak: used.rusage.maxrss }
}

fn write_noise(path: &Path, mib: usize) {
    let mut file = std::fs::File::create(path).unwrap();
    let mut noise = blake3::Hasher::new().finalize_xof();
    let mut block = vec![0; 1 << 20];
    for _ in 0..mib {
        noise.fill(&mut block);
        file.write_all(&block).unwrap();
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    let arguments: Vec<String> = env::args().skip(1).filter(|a| a != "--bench").collect();
    if let [flag, path] = &arguments[..]
        && flag == "--hash"
    {
        println!("{}", memo::hash_file(Path::new(path)).unwrap().blob);
        return;
    }
    let number = |n: usize, default| arguments.get(n).map_or(default, |a| a.parse().unwrap());
    let (mib, rounds) = (number(0, 1024), number(1, 5));
    let folder = tempfile::tempdir_in(env::var("CBI_BENCH_DIR").unwrap_or_else(|_| ".".to_owned())).unwrap();
    let path = folder.path().join("noise");
    write_noise(&path, mib);
    let (mut walls, mut cpus) = (Vec::new(), Vec::new());
    println!("{mib} MiB      wall s   cpu s   peak MiB");
    for round in 0..=rounds {
        let b3sum = run(Command::new("b3sum").arg(&path));
        let cbi = run(Command::new(env::current_exe().unwrap()).arg("--hash").arg(&path));
        if round == 0 {
            continue; // warms the page cache for both
        }
        for (name, r) in [("b3sum", &b3sum), ("cbi", &cbi)] {
            println!("{name:10} {:8.3} {:8.3} {:8.1}", r.wall.as_secs_f64(), r.cpu.as_secs_f64(), r.peak as f64 / f64::from(1 << 20));
        }
        walls.push(cbi.wall.as_secs_f64() / b3sum.wall.as_secs_f64());
        cpus.push(cbi.cpu.as_secs_f64() / b3sum.cpu.as_secs_f64());
    }
    println!("cbi / b3sum, median: wall {:.2}, cpu {:.2}", median(walls), median(cpus));
}
