//! A tokio program that reads a thousand files through a ring while it serves TCP.
//!
//! ```sh
//! cargo run --release --features tokio --example tokio_files
//! ```
//!
//! The ring lives inside tokio's own reactor: no second runtime, no thread, no channel.

#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "what the program has to say")]

use std::ffi::CString;
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use clap::Parser;
use lio_uring::owned::{Open, Read, TokioRing};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Reads files through a ring while it serves TCP through tokio.
#[derive(Parser)]
struct Args {
    /// How many files are made and read.
    #[arg(long, default_value_t = 1000)]
    files: usize,
    /// How large each of them is, in bytes.
    #[arg(long, default_value_t = 64 << 10)]
    size: usize,
}

#[tokio::main]
async fn main() -> io::Result<()> {
    let args = Args::parse();
    let folder = tempfile::tempdir()?;
    for n in 0..args.files {
        fs::write(folder.path().join(n.to_string()), contents(n, args.size))?;
    }
    let uring = TokioRing::new(128)?;

    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(serve(listener));
    let answers = Arc::new(AtomicU64::new(0));
    let client = TcpStream::connect(address).await?;
    let client = tokio::spawn(ask(client, Arc::clone(&answers)));

    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for n in 0..args.files {
        let (uring, path) = (uring.clone(), folder.path().join(n.to_string()));
        tasks.spawn(async move {
            let bytes = read(&uring, &path, args.size).await?;
            if bytes == contents(n, args.size) {
                Ok(bytes.len())
            } else {
                Err(io::Error::other(format!(
                    "file {n} is not what was written"
                )))
            }
        });
    }
    let mut total = 0;
    for read in tasks.join_all().await {
        total += read?;
    }
    let seconds = start.elapsed().as_secs_f64();
    client.abort();
    let answers = answers.load(Ordering::Relaxed);
    println!(
        "{} files, {total} bytes in {seconds:.3} s, all as written",
        args.files
    );
    println!("meanwhile {answers} answers over TCP");
    Ok(())
}

/// What is in a file.
fn contents(n: usize, size: usize) -> Vec<u8> {
    n.to_le_bytes().into_iter().cycle().take(size).collect()
}

/// Opens a file and reads it whole.
async fn read(uring: &TokioRing, path: &Path, size: usize) -> io::Result<Vec<u8>> {
    let path = CString::new(path.as_os_str().as_encoded_bytes())?;
    let (flags, mode) = (libc::O_RDONLY, 0);
    let file = uring.submit(Open { path, flags, mode }).await?;
    let read = Read {
        file: Arc::new(File::from(file)),
        buffer: Vec::with_capacity(size),
        offset: 0,
    };
    let (count, bytes) = uring.submit(read).await;
    count.map(|_| bytes)
}

/// Sends back what comes, for each connection in a task of its own.
async fn serve(listener: TcpListener) -> io::Result<()> {
    loop {
        let (mut connection, _) = listener.accept().await?;
        tokio::spawn(async move {
            let (mut from, mut to) = connection.split();
            tokio::io::copy(&mut from, &mut to).await
        });
    }
}

/// Asks until it is stopped, and counts the answers.
async fn ask(mut connection: TcpStream, answers: Arc<AtomicU64>) -> io::Result<()> {
    for question in 0.. {
        connection.write_u64(question).await?;
        if connection.read_u64().await? != question {
            return Err(io::Error::other("another answer than was asked for"));
        }
        answers.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}
