//! How fast, and at what cost, servers send back messages of 64 bytes over TCP.
//!
//! ```sh
//! cargo bench -p lio-uring-benches --bench echo
//! ```
//!
//! Server and client are processes of their own, each on its processor, and talk over the loopback
//! device. Every answer is compared with its message.

#![expect(clippy::print_stdout, reason = "the tables are the result")]

use std::time::Duration;

use clap::Parser;
use lio_uring_benches::echo::Server;
use lio_uring_benches::echo::client::Client;
use lio_uring_benches::echo::process::{self, Process};
use lio_uring_benches::options::Options;
use lio_uring_benches::processor;
use lio_uring_benches::rounds::Rounds;
use lio_uring_benches::table::{Figure, comparison};

/// The connections of each table.
const TABLES: [usize; 3] = [1, 50, 500];
const ENOUGH: Duration = Duration::from_secs(1);
/// How long messages go back and forth before it counts.
const WARM_UP: Duration = Duration::from_millis(100);
const FIGURES: [Figure; 4] = [
    Figure::new("messages per second", 0),
    Figure::new("µs of the server's processor per message", 2),
    Figure::new("p50, µs", 1).alone(),
    Figure::new("p99, µs", 1).alone(),
];
/// Whom the others are compared with.
const OTHERS: [&str; 2] = ["tokio", "io-uring, one thread"];

/// Sends messages to servers and has them sent back.
#[derive(Parser)]
struct Args {
    /// Is a server, on a processor.
    #[arg(long, hide = true, num_args = 2, value_names = ["SERVER", "PROCESSOR"])]
    serve: Option<Vec<usize>>,
    #[command(flatten)]
    options: Options,
}

fn main() {
    let Args { serve, options } = Args::parse();
    if let Some([server, cpu]) = serve.as_deref() {
        return process::serve(&Server::ALL[*server], *cpu).expect("a server");
    }
    let cpus = processor::allowed();
    let (server_cpu, client_cpu) = match cpus[..] {
        [one] => {
            println!("Server and client share the only processor.\n");
            (one, one)
        }
        [server, client, ..] => (server, client),
        [] => unreachable!("this runs on a processor"),
    };
    processor::pin(client_cpu);
    for connections in TABLES {
        let servers: Vec<_> = (0..Server::ALL.len())
            .filter(|&index| {
                let server = &Server::ALL[index];
                options.wants(server.name) && connections <= server.most_connections
            })
            .collect();
        let names: Vec<_> = servers
            .iter()
            .map(|&index| Server::ALL[index].name)
            .collect();
        let time = options.time(ENOUGH);
        let rounds = Rounds::measure(options.rounds, servers.len(), |contestant| {
            let arguments = [
                "--serve",
                &servers[contestant].to_string(),
                &server_cpu.to_string(),
            ];
            figures(&arguments.map(str::to_owned), connections, time)
        });
        let title = format!("{connections} connections");
        println!(
            "{}\n",
            comparison(&title, &names, &OTHERS, &options.shown(FIGURES), &rounds)
        );
    }
}

fn figures(server: &[String], connections: usize, time: Duration) -> [f64; 4] {
    let server = Process::start(server).expect("a server");
    let mut client = Client::connect(server.address(), connections).expect("connections");
    client.run(WARM_UP);
    let used_before = server.processor_time();
    let run = client.run(time);
    let used = server.processor_time().saturating_sub(used_before);
    let messages = f64::from(u32::try_from(run.times.len()).expect("fewer messages"));
    let [p50, p99] = [0.5, 0.99].map(|quantile| {
        Duration::from_nanos(run.times.value_at_quantile(quantile)).as_secs_f64() * 1e6
    });
    [
        messages / run.elapsed.as_secs_f64(),
        used.as_secs_f64() * 1e6 / messages,
        p50,
        p99,
    ]
}
