//! How many messages a second the spool commits: `cargo run --release --example commit_throughput -- DIR [SECONDS]`.
//!
//! Threads enter messages of 4 KiB into a spool beneath DIR (which must be on the disk that is asked about), each thread
//! one after the other, and remove what they entered. Prints commits a second and the mean and 99th percentile of a commit.

use std::path::Path;
use std::time::{Duration, Instant};

use durable::Dir;
use mail::{Address, Envelope, Recipient};
use spool::{Origin, Queue, Spool};

fn main() -> std::io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let dir = arguments.next().unwrap_or_else(|| ".".into());
    let seconds = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(3);
    let temp = Path::new(&dir).join(format!("commit-throughput.{}", std::process::id()));
    std::fs::create_dir(&temp)?;
    let spool = Spool::create(&Dir::open(&temp)?)?;
    println!("threads  commits/s  mean µs   p99 µs");
    for threads in [1, 10, 16, 50] {
        let mut times = measure(&spool, threads, Duration::from_secs(seconds));
        times.sort_unstable();
        let mean = times.iter().sum::<Duration>().as_micros() / times.len().max(1) as u128;
        let p99 = times.get(times.len() * 99 / 100).map_or(0, Duration::as_micros);
        println!("{threads:7}  {:9}  {mean:7}  {p99:7}", times.len() as u64 / seconds);
    }
    std::fs::remove_dir_all(&temp)
}

fn measure(spool: &Spool, threads: usize, how_long: Duration) -> Vec<Duration> {
    let end = Instant::now() + how_long;
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(|| work(spool, end))).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap_or_default()).collect()
    })
}

fn work(spool: &Spool, end: Instant) -> Vec<Duration> {
    let address = |text: &str| Address::parse(text).expect("an address");
    let recipients = vec![Recipient::new(address("kevin@m3102.com"))];
    let envelope = Envelope { reverse_path: Some(address("root@vm")), recipients, ..Envelope::default() };
    let mut times = Vec::new();
    while Instant::now() < end {
        let begin = Instant::now();
        let mut message = spool.enter(&envelope, &Origin::Internal);
        let done = message.write(&[b'x'; 4096]).and_then(|()| message.commit());
        times.push(begin.elapsed());
        // Not measured; unsynced, as the removal of a batch would be.
        match done {
            Ok(id) => drop(spool.dir(Queue::Incoming).unlink(&id.name())),
            Err(error) => eprintln!("{error}"),
        }
    }
    times
}
