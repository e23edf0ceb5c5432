//! The example `tcp_echo` under loads that are not made with this library, nor in this language.

#![cfg(target_os = "linux")]

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use lio_uring::operation::OpCode;

#[path = "support/needs.rs"]
mod needs;

/// How long a load may take, on a busy machine and with a debug build.
const LOAD_TIME: Duration = Duration::from_secs(120);
/// How long the server may take to stop: a second of grace and some room.
const STOP_TIME: Duration = Duration::from_secs(20);

/// The example as `cargo test` has built it: beside the folder that this test is in.
fn example() -> PathBuf {
    let test = std::env::current_exe().expect("the path of this test");
    let profile = test
        .parent()
        .and_then(Path::parent)
        .expect("target/<profile>/deps/<test>");
    let example = profile.join("examples/tcp_echo");
    assert!(
        example.exists(),
        "{} is not there: build it with `cargo build --example tcp_echo`",
        example.display()
    );
    example
}

struct Server {
    child: Child,
    address: SocketAddr,
    output: BufReader<ChildStdout>,
}

impl Server {
    /// `None` if the kernel cannot run it, after saying so.
    fn start(args: &[&str]) -> Option<Self> {
        Self::spawn(Command::new(example()).args(args))
    }

    /// With no more than this many descriptors.
    fn start_with_descriptors(limit: u32, args: &[&str]) -> Option<Self> {
        let script = format!("ulimit -n {limit}; exec \"$0\" \"$@\"");
        Self::spawn(
            Command::new("sh")
                .arg("-c")
                .arg(script)
                .arg(example())
                .args(args),
        )
    }

    fn spawn(command: &mut Command) -> Option<Self> {
        // The multishot receive came with the same kernel as this operation.
        if !needs::operations(&[OpCode::SEND_ZC]) {
            return None;
        }
        let mut child = command
            .args(["--port", "0"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("the server starts");
        let mut output = BufReader::new(child.stdout.take().expect("its output is piped"));
        let mut line = String::new();
        output.read_line(&mut line).expect("its output can be read");
        let address = line
            .trim()
            .strip_prefix("listening on ")
            .and_then(|address| address.parse().ok())
            .unwrap_or_else(|| panic!("the server said {line:?} instead of where it listens"));
        Some(Self {
            child,
            address,
            output,
        })
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("the server accepts");
        stream
            .set_read_timeout(Some(STOP_TIME))
            .expect("a socket takes a time limit");
        stream
    }

    /// Runs the Python program, which checks what comes back and that no descriptor is left open.
    fn load(&mut self, args: &[&str]) {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tcp_echo_load.py");
        let mut load = Command::new("python3")
            .arg(script)
            .args(["--port", &self.address.port().to_string()])
            .args(["--pid", &self.child.id().to_string()])
            .args(args)
            .spawn()
            .unwrap_or_else(|error| match error.kind() {
                ErrorKind::NotFound => {
                    panic!("this test needs Python 3.9: install it (Debian: apt install python3)")
                }
                _ => panic!("python3 does not start: {error}"),
            });
        let status = wait(&mut load, LOAD_TIME);
        assert!(
            status.success(),
            "the load ended with {status}; above it says why"
        );
    }

    /// Sends a signal, and returns what the server prints when it has stopped as it should.
    fn stop(mut self, signal: libc::c_int) -> String {
        let pid = libc::pid_t::try_from(self.child.id()).expect("a process id");
        // SAFETY: the call takes numbers alone. The process is our child and was not waited for,
        // so the number is still its own.
        assert_eq!(unsafe { libc::kill(pid, signal) }, 0);
        let status = wait(&mut self.child, STOP_TIME);
        assert_eq!(status.code(), Some(0), "the server ended with {status}");
        let mut output = String::new();
        self.output
            .read_to_string(&mut output)
            .expect("its output can be read");
        let connections = output.lines().find(|line| line.starts_with("connections "));
        let numbers: Vec<u64> = connections
            .unwrap_or_default()
            .split(' ')
            .filter_map(|word| word.parse().ok())
            .collect();
        assert_eq!(
            numbers.first(),
            numbers.get(1),
            "not all were closed:\n{output}"
        );
        assert!(output.contains("stale        0 "), "{output}");
        output
    }
}

impl Drop for Server {
    /// A test that fails leaves no server behind.
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Waits for a child of ours, and ends it when it takes too long.
fn wait(child: &mut Child, limit: Duration) -> ExitStatus {
    let end = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait().expect("the child can be waited for") {
            return status;
        }
        if Instant::now() > end {
            child.kill().ok();
            child.wait().ok();
            panic!("process {} did not end within {limit:?}", child.id());
        }
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn rude_peers_by_the_hundred_harm_nobody() {
    let Some(mut server) = Server::start(&[]) else {
        return;
    };
    server.load(&["--connections", "300"]);
    server.load(&["--connections", "300", "--seed", "2"]);
    server.stop(libc::SIGINT);
}

#[test]
fn large_buffers_are_sent_in_parts() {
    let Some(mut server) = Server::start(&["--buffers", "64", "--buffer-size", "1048576"]) else {
        return;
    };
    let large = ["--largest", "8000000", "--buffer-size", "65536"];
    server.load(&[&["--connections", "60", "--messages", "5"], &large[..]].concat());
    let output = server.stop(libc::SIGTERM);
    assert!(!output.contains(" 0 times only a part"), "{output}");
}

#[test]
fn few_and_small_buffers_are_enough() {
    let Some(mut server) = Server::start(&["--buffers", "4", "--buffer-size", "64"]) else {
        return;
    };
    server.load(&[
        "--connections",
        "100",
        "--largest",
        "20000",
        "--buffer-size",
        "64",
    ]);
    let output = server.stop(libc::SIGINT);
    assert!(!output.contains(" 0 receives without a buffer"), "{output}");
}

#[test]
fn peers_that_take_nothing_do_not_keep_the_buffers() {
    let Some(mut server) =
        Server::start(&["--buffers", "4", "--buffer-size", "64", "--stall", "2"])
    else {
        return;
    };
    let small = [
        "--connections",
        "50",
        "--messages",
        "5",
        "--largest",
        "20000",
    ];
    server.load(&[&small[..], &["--buffer-size", "64", "--stubborn", "4"]].concat());
    server.stop(libc::SIGINT);
}

#[test]
fn a_lack_of_descriptors_delays_and_no_more() {
    let Some(mut server) = Server::start_with_descriptors(48, &[]) else {
        return;
    };
    server.load(&["--connections", "300"]);
    let output = server.stop(libc::SIGTERM);
    assert!(!output.contains(" 0 pauses in accepting"), "{output}");
}

#[test]
fn more_connections_than_allowed_wait_for_their_turn() {
    let Some(mut server) = Server::start(&["--connections", "16"]) else {
        return;
    };
    server.load(&["--connections", "200"]);
    server.stop(libc::SIGTERM);
}

#[test]
fn a_signal_ends_open_connections_of_all_kinds() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let idle: Vec<_> = (0..20).map(|_| server.connect()).collect();
    let mut talking = server.connect();
    talking.write_all(b"hello").unwrap();
    talking.read_exact(&mut [0; 5]).unwrap();
    // Nobody reads what comes back on this one, so the server cannot send it all.
    let mut stuck = server.connect();
    stuck
        .set_write_timeout(Some(Duration::from_millis(500)))
        .unwrap();
    while stuck.write(&[7; 1 << 14]).is_ok() {}

    server.stop(libc::SIGTERM);

    for mut stream in idle.into_iter().chain([talking]) {
        assert_eq!(stream.read(&mut [0; 8]).unwrap(), 0);
    }
    // What was on its way when the connection was cut arrives, and then the end, of some kind.
    let mut rest = Vec::new();
    if let Err(error) = stuck.read_to_end(&mut rest) {
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    }
}
