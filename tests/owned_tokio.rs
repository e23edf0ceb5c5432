//! Rings inside tokio programs, of one thread and of many.
#![cfg(target_os = "linux")]
#![forbid(unsafe_code)]

#[path = "support/runtimes.rs"]
mod runtimes;

use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::net::UnixStream;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use lio_uring::owned::{
    Message, Nop, Read, Recv, RecvHeader, RecvMsg, Send, SendHeader, SendMsg, Sleep,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

use runtimes::{on_each, ring, runtimes, settle};

#[test]
fn operations_are_awaited_like_anything_else() {
    on_each(|| async {
        let uring = ring(8);
        let file = Arc::new(File::open("/proc/self/exe").expect("this program"));
        let read = Read {
            file,
            buffer: vec![0; 4],
            offset: 0,
        };
        let (count, bytes) = uring.submit(read).await;
        assert_eq!(count.expect("four bytes"), 4);
        assert_eq!(bytes, b"\x7fELF");
        // One that does not end while it is being submitted.
        let sleep = Sleep::new(Duration::from_millis(5));
        uring.submit(sleep).await.expect("no error");
        assert_eq!(uring.operations(), 0);
    });
}

/// A waker that panics.
struct Panics;

impl Wake for Panics {
    fn wake(self: Arc<Self>) {
        resume_unwind(Box::new("on purpose"));
    }
}

#[test]
fn what_has_ended_behind_a_panic_is_woken_too() {
    on_each(|| async {
        // More than what is woken in one go.
        for others in [1, 63, 64, 200] {
            let uring = ring(256);
            let mut peers = Vec::new();
            let mut recv = || {
                let (socket, peer) = UnixStream::pair().expect("a pair");
                peers.push(peer);
                let uring = uring.clone();
                let buffer = vec![0; 8];
                async move {
                    let recv = Recv {
                        socket,
                        buffer,
                        flags: 0,
                    };
                    uring.submit(recv).await.0.expect("data")
                }
            };
            let mut first = Box::pin(recv());
            let waker = Waker::from(Arc::new(Panics));
            let polled = first.as_mut().poll(&mut Context::from_waker(&waker));
            assert!(polled.is_pending());
            let tasks: Vec<_> = (0..others).map(|_| tokio::spawn(recv())).collect();
            while uring.operations() <= others {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            for peer in &mut peers {
                peer.write_all(b"x").expect("room");
            }
            for task in tasks {
                let done = timeout(Duration::from_secs(60), task).await;
                assert_eq!(done.expect("it is woken").expect("no panic"), 1);
            }
            assert_eq!(first.await, 1);
        }
    });
}

#[test]
fn many_tasks_share_few_slots_beside_tokios_own_sockets() {
    const TASKS: u64 = 64;
    const EACH: u64 = 16_000;
    on_each(|| async {
        let uring = ring(8);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let address = listener.local_addr().expect("an address");
        let echo = tokio::spawn(async move {
            let (mut connection, _) = listener.accept().await.expect("a connection");
            let (mut from, mut to) = connection.split();
            tokio::io::copy(&mut from, &mut to).await.expect("an echo")
        });
        let client = tokio::spawn(async move {
            let mut client = TcpStream::connect(address).await.expect("a connection");
            for n in 0..2000_u32 {
                client.write_all(&n.to_ne_bytes()).await.expect("sent");
                assert_eq!(
                    client.read_u32_le().await.expect("echoed").to_le_bytes(),
                    n.to_ne_bytes()
                );
            }
        });
        let mut tasks = JoinSet::new();
        for _ in 0..TASKS {
            let uring = uring.clone();
            tasks.spawn(async move {
                for n in 0..EACH {
                    uring.submit(Nop).await.expect("a NOP");
                    if n % 500 == 0 {
                        let sleep = Sleep::new(Duration::from_micros(50));
                        uring.submit(sleep).await.expect("no error");
                    }
                }
                EACH
            });
        }
        let done = tasks.join_all().await;
        assert_eq!(done.into_iter().sum::<u64>(), TASKS * EACH);
        client.await.expect("no panic");
        assert_eq!(echo.await.expect("no panic"), 8000);
        assert_eq!(uring.operations(), 0);
    });
}

#[test]
fn messages_go_to_and_fro_between_tasks() {
    on_each(|| async {
        let uring = ring(8);
        let (one, other) = UnixStream::pair().expect("a pair");
        let (one, other) = (Arc::new(one), Arc::new(other));
        let answering = {
            let uring = uring.clone();
            tokio::spawn(async move {
                let mut buffer = Vec::with_capacity(64);
                loop {
                    let socket = Arc::clone(&other);
                    let recv = Recv {
                        socket,
                        buffer,
                        flags: 0,
                    };
                    let (count, received) = uring.submit(recv).await;
                    if count? == 0 {
                        return io::Result::Ok(());
                    }
                    let socket = Arc::clone(&other);
                    let send = Send {
                        socket,
                        buffer: received,
                        flags: 0,
                    };
                    let (count, back) = uring.submit(send).await;
                    count?;
                    buffer = back;
                }
            })
        };
        let mut buffer = Vec::with_capacity(64);
        for n in 0..3000_u32 {
            buffer.clear();
            buffer.extend(n.to_ne_bytes());
            let socket = Arc::clone(&one);
            let (sent, back) = uring
                .submit(Send {
                    socket,
                    buffer,
                    flags: 0,
                })
                .await;
            assert_eq!(sent.expect("sent"), 4);
            let socket = Arc::clone(&one);
            let recv = Recv {
                socket,
                buffer: back,
                flags: 0,
            };
            let (count, answer) = uring.submit(recv).await;
            assert_eq!(
                (count.expect("an answer"), &answer[..]),
                (4, &n.to_ne_bytes()[..])
            );
            buffer = answer;
        }
        one.shutdown(std::net::Shutdown::Both).expect("shut down");
        answering.await.expect("no panic").expect("no error");
    });
}

#[test]
fn aborted_tasks_leave_nothing_behind() {
    on_each(|| async {
        let mut random = fastrand::Rng::with_seed(7);
        let uring = ring(16);
        let (one, other) = UnixStream::pair().expect("a pair");
        let (one, other) = (Arc::new(one), Arc::new(other));
        for _ in 0..300 {
            let mut tasks = Vec::new();
            // More than there are slots.
            for _ in 0..48 {
                let (uring, socket) = (uring.clone(), Arc::clone(&one));
                tasks.push(tokio::spawn(async move {
                    let buffer = vec![0; 16];
                    uring
                        .submit(Recv {
                            socket,
                            buffer,
                            flags: 0,
                        })
                        .await
                }));
            }
            for _ in 0..random.u8(..4) {
                let socket = Arc::clone(&other);
                let send = Send {
                    socket,
                    buffer: b"some".to_vec(),
                    flags: 0,
                };
                // All slots may be taken by those that wait for it.
                let _late = timeout(Duration::from_millis(1), uring.submit(send)).await;
            }
            for task in &tasks {
                if random.bool() {
                    tokio::task::yield_now().await;
                }
                task.abort();
            }
            // The runtime drops what an aborted task has at some time of its own.
            for task in tasks {
                let _aborted_or_done = task.await;
            }
        }
        settle(&uring).await;
        assert_eq!(Arc::strong_count(&one), 1, "an operation kept its socket");
        // All slots are there again.
        for _ in 0..100 {
            uring.submit(Nop).await.expect("a NOP");
        }
    });
}

#[test]
fn ring_that_is_dropped_with_its_futures_pending_ends_them() {
    for (_, runtime) in runtimes() {
        let (one, _other) = UnixStream::pair().expect("a pair");
        let one = Arc::new(one);
        runtime.block_on(async {
            let uring = ring(8);
            for _ in 0..8 {
                let (uring, socket) = (uring.clone(), Arc::clone(&one));
                tokio::spawn(async move {
                    let buffer = vec![0; 16];
                    uring
                        .submit(Recv {
                            socket,
                            buffer,
                            flags: 0,
                        })
                        .await
                });
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        });
        drop(runtime);
        assert_eq!(Arc::strong_count(&one), 1, "an operation kept its socket");
    }
}

#[test]
fn message_and_its_descriptors_go_from_task_to_task() {
    on_each(|| async {
        let uring = ring(8);
        let (here, there) = UnixStream::pair().expect("a pair");
        let recv = RecvMsg {
            socket: here,
            buffers: vec![Vec::with_capacity(2), Vec::with_capacity(64)],
            header: RecvHeader::with_descriptors(1),
            flags: 0,
        };
        let receiving = {
            let uring = uring.clone();
            tokio::spawn(async move { uring.submit(recv).await })
        };
        let file = File::open("/proc/self/comm").expect("a file");
        let send = SendMsg {
            socket: there,
            buffers: [String::from("a "), String::from("file")],
            header: SendHeader::new().descriptors([file.into()]),
            flags: 0,
        };
        let (count, ..) = uring.submit(send).await;
        assert_eq!(count.expect("sent"), 6);
        let (count, buffers, mut header) = receiving.await.expect("no panic");
        assert_eq!(count.expect("received"), 6);
        assert_eq!(buffers.concat(), b"a file");
        assert_eq!(header.take_descriptors().len(), 1);
    });
}

#[test]
fn messages_wake_the_task_that_waits_for_them() {
    const EACH: u32 = 500;
    on_each(|| async {
        let (here, there) = (ring(8), ring(8));
        let to = there.mailbox().expect("a mailbox");
        let first = Message::new(to.clone(), 0, 0);
        if let Err(error) = here.submit(first).await {
            // Before Linux 5.18.
            assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
            return;
        }
        let mut messages = there.messages().expect("nobody else takes them");
        assert!(there.messages().is_none(), "there is one");
        assert_eq!(messages.next().await, (0, 0));
        let mut senders = JoinSet::new();
        for number in 0..4 {
            let (here, to) = (here.clone(), to.clone());
            senders.spawn(async move {
                for value in 0..EACH {
                    let to = to.clone();
                    let message = Message::new(to, number, value);
                    here.submit(message).await.expect("it arrives");
                    if value % 7 == 0 {
                        tokio::task::yield_now().await;
                    }
                }
            });
        }
        let thread = to.clone();
        let thread =
            std::thread::spawn(move || (0..EACH).find_map(|value| thread.send(4, value).err()));
        let mut next = [0; 5];
        while next[..4] != [EACH; 4] {
            // The ring's own operations go on meanwhile.
            there.submit(Nop).await.expect("no error");
            let (number, value) = messages.next().await;
            let next = &mut next[usize::try_from(number).expect("one of five")];
            assert_eq!(value, *next);
            *next += 1;
        }
        senders.join_all().await;
        // Threads cannot send before Linux 6.13.
        if thread.join().expect("no panic").is_none() {
            while next[4] < EACH {
                assert_eq!(messages.next().await, (4, next[4]));
                next[4] += 1;
            }
        }
        drop((messages, there));
        // The task that takes its completions may have the ring for a moment yet.
        let error = loop {
            let message = Message::new(to.clone(), 1, 1);
            match here.submit(message).await {
                Ok(()) => tokio::time::sleep(Duration::from_millis(1)).await,
                Err(error) => break error,
            }
        };
        assert_eq!(error.raw_os_error(), Some(libc::EPIPE));
    });
}
