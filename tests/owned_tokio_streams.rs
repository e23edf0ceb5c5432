//! Streams, chains and what is registered, on rings inside tokio programs.
#![cfg(target_os = "linux")]

#[path = "support/kernel.rs"]
#[allow(dead_code, reason = "not all of it is needed here")]
mod kernel;
#[path = "support/runtimes.rs"]
mod runtimes;

use std::fs::File;
use std::io::Write as _;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use futures_util::StreamExt as _;
use lio_uring::BufferPool;
use lio_uring::kind::AnyThread;
use lio_uring::owned::{
    AcceptMulti, BufferGroup, BufferGroupParams, End, Hard, Nop, Read, ReadFixed, RecvMulti, Send,
    SendBundle, TokioRing,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use runtimes::{on_each, ring, settle};

/// Sends back what comes, out of the buffers that it has come in.
async fn echo(uring: TokioRing, connection: OwnedFd, buffers: BufferGroup<AnyThread>) {
    let socket = Arc::new(connection);
    let mut pieces = uring
        .submit_stream(RecvMulti {
            socket: Arc::clone(&socket),
            buffers,
            flags: 0,
        })
        .await;
    loop {
        while let Some(piece) = pieces.next().await {
            let send = Send {
                socket: Arc::clone(&socket),
                buffer: piece.expect("no error").to_vec(),
                flags: libc::MSG_WAITALL,
            };
            let (count, bytes) = uring.submit(send).await;
            assert_eq!(count.expect("sent"), bytes.len());
        }
        match pieces.end() {
            // Others give their buffers back.
            Some(End::Exhausted | End::Stopped) => {
                tokio::task::yield_now().await;
                while pieces.rearm().is_err() {
                    tokio::task::yield_now().await;
                }
            }
            end => return assert_eq!(end, Some(End::Finished)),
        }
    }
}

/// Writes to a queue while a task sends from it.
#[test]
fn queue_is_written_to_by_one_task_and_sent_by_another() {
    on_each(|| async {
        if kernel::lacks(6, 10, "bundles") {
            return;
        }
        let uring = ring(8);
        let queue = uring.register_send_queue(4, 100).expect("a queue");
        let (socket, mut peer) = tokio::net::UnixStream::pair().expect("a pair");
        let socket = OwnedFd::from(socket.into_std().expect("a socket"));
        let wanted: Vec<u8> = (0..=255).cycle().take(100_000).collect();
        let (from, total) = (queue.clone(), wanted.len());
        let sender = tokio::spawn(async move {
            let mut sending = uring.submit_stream(SendBundle::new(socket, from)).await;
            let mut sent = 0;
            while sent < total {
                if let Some(bytes) = sending.next().await {
                    sent += bytes.expect("no error");
                    continue;
                }
                tokio::task::yield_now().await;
                while sending.rearm().is_err() {
                    tokio::task::yield_now().await;
                }
            }
            drop(sending);
            settle(&uring).await;
        });
        let text = wanted.clone();
        let writer = tokio::spawn(async move {
            let (mut queue, mut left) = (&queue, &text[..]);
            while !left.is_empty() {
                let some = left.len().min(170);
                match queue.write(&left[..some]) {
                    Ok(written) => left = &left[written..],
                    Err(_) => tokio::task::yield_now().await,
                }
            }
        });
        let mut got = Vec::new();
        peer.read_to_end(&mut got).await.expect("no error");
        assert!(got == wanted, "{} bytes", got.len());
        writer.await.expect("no panic");
        sender.await.expect("no panic");
    });
}

#[test]
fn server_of_streams_loses_nothing_and_leaves_nothing() {
    const CLIENTS: usize = 20;
    const ROUNDS: u32 = 300;
    on_each(|| async {
        let uring = ring(64);
        // Fewer than connections.
        let made = uring.register_group(BufferGroupParams::new(8, 512));
        let Some(buffers) = kernel::since(5, 19, made) else {
            return;
        };
        if kernel::lacks(6, 0, "receives that go on") {
            return;
        }
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let address = listener.local_addr().expect("one");
        let connections = uring.submit_stream(AcceptMulti { listener }).await;
        let mut connections = connections.take(CLIENTS);
        let (server, group) = (uring.clone(), buffers.clone());
        let server = tokio::spawn(async move {
            let mut tasks = JoinSet::new();
            while let Some(connection) = connections.next().await {
                let connection = connection.expect("no error");
                tasks.spawn(echo(server.clone(), connection, group.clone()));
            }
            drop(connections);
            while let Some(done) = tasks.join_next().await {
                done.expect("no panic");
            }
        });
        let mut clients = JoinSet::new();
        for client in 0..CLIENTS {
            clients.spawn(async move {
                let mut stream = TcpStream::connect(address).await.expect("connected");
                for round in 0..ROUNDS {
                    let sent = format!("{client} {round} ").repeat(20);
                    stream.write_all(sent.as_bytes()).await.expect("sent");
                    let mut got = vec![0; sent.len()];
                    stream.read_exact(&mut got).await.expect("echoed");
                    assert!(got == sent.as_bytes(), "{client} {round}");
                }
            });
        }
        while let Some(done) = clients.join_next().await {
            done.expect("no panic");
        }
        server.await.expect("no panic");
        settle(&uring).await;
        assert_eq!(buffers.provided(), 8);
    });
}

#[test]
fn streams_of_aborted_tasks_close_what_they_had() {
    on_each(|| async {
        let uring = ring(8);
        for round in 0..50u8 {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
            let address = listener.local_addr().expect("one");
            let mut connections = uring.submit_stream(AcceptMulti { listener }).await;
            let task = tokio::spawn(async move {
                let first = connections.next().await;
                // What comes later is never asked for.
                std::future::pending::<()>().await;
                drop(first);
            });
            let mut clients = Vec::new();
            for _ in 0..4 {
                clients.push(TcpStream::connect(address).await.expect("connected"));
            }
            if round % 2 == 0 {
                tokio::task::yield_now().await;
            }
            task.abort();
            assert!(task.await.unwrap_err().is_cancelled());
            for mut client in clients {
                let got = client.read(&mut [0; 8]).await;
                assert!(matches!(got, Ok(0) | Err(_)), "{got:?}");
            }
        }
        settle(&uring).await;
    });
}

#[test]
fn chains_and_what_is_registered_are_for_tasks_too() {
    on_each(|| async {
        let uring = ring(8);
        let slots = uring.register_slots(4).expect("places");
        let pool = BufferPool::new(4, 4096).expect("memory");
        let pool = uring.register_pool(pool).expect("a registration");
        let mut tasks = JoinSet::new();
        for _ in 0..4 {
            let file = File::open("/proc/self/exe").expect("this program");
            let slot = slots.insert(file).expect("a place");
            let buffer = pool.take().expect("a buffer");
            let uring = uring.clone();
            tasks.spawn(async move {
                let read = ReadFixed {
                    file: slot.clone(),
                    buffer,
                    offset: 0,
                };
                let short = Read {
                    file: slot,
                    buffer: vec![0; 4],
                    offset: u64::from(u32::MAX),
                };
                let (read, short, last) = uring.submit_chain((read, Hard(short), Nop)).await;
                last.await.expect("no error");
                assert_eq!(short.await.0.expect("no error"), 0);
                let (count, buffer) = read.await;
                assert_eq!(count.expect("no error"), 4096);
                assert_eq!(buffer[..4], *b"\x7fELF");
            });
        }
        while let Some(done) = tasks.join_next().await {
            done.expect("no panic");
        }
        assert_eq!(slots.available(), 4);
        settle(&uring).await;
    });
}

#[test]
fn borrowed_statics_are_sent_by_tasks() {
    on_each(|| async {
        let uring = ring(8);
        let (socket, mut peer) = tokio::net::UnixStream::pair().expect("a pair");
        let socket = socket.into_std().expect("a socket");
        let sent = tokio::spawn(async move {
            let send = Send {
                socket,
                buffer: "as it is",
                flags: 0,
            };
            uring.submit(send).await
        });
        let mut got = String::new();
        peer.read_to_string(&mut got).await.expect("text");
        assert_eq!(got, "as it is");
        assert_eq!(sent.await.expect("no panic").0.expect("sent"), 8);
    });
}
