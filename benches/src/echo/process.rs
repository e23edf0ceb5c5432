//! A server in a process of its own.

use std::env;
use std::io::{self, BufRead as _, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;

use super::{Server, listener};
use crate::processor;

/// A process that serves until this is dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    address: SocketAddr,
}

impl Process {
    /// Starts this program anew with arguments that make it call [`serve`], and waits until it
    /// listens.
    ///
    /// # Errors
    ///
    /// If it cannot be started, or does not say where it listens.
    pub fn start(arguments: &[String]) -> io::Result<Self> {
        let mut child = Command::new(env::current_exe()?)
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()?;
        let output = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let mut process = Self {
            child,
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        };
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        process.address = line.trim().parse().map_err(io::Error::other)?;
        Ok(process)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How long it has used processors.
    pub fn processor_time(&self) -> Duration {
        processor::used_by(self.child.id())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It can only have ended by itself.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Serves on one processor for as long as the parent lives, and prints first where.
///
/// # Errors
///
/// If it cannot listen.
#[expect(clippy::print_stdout, reason = "the parent reads it")]
pub fn serve(server: &Server, cpu: usize) -> io::Result<()> {
    set_pdeathsig(Signal::SIGKILL)?;
    processor::pin(cpu);
    let listener = listener()?;
    println!("{}", listener.local_addr()?);
    (server.serve)(listener);
    Ok(())
}
