//! What takes buffers from groups, and what completes again and again.

use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use lio_uring::owned::{
    AcceptMulti, BufferGroup, BufferGroupParams, MessageRoom, PollMulti, ReadMulti, ReadPicked,
    RecvBundle, RecvMsgMulti, RecvMulti, RecvMultiBundle, RecvPicked, Ring, SendBundle, Ticks,
};

use crate::kernel;
use crate::world::BYTES;
use crate::{Case, Way, let_go_in, let_go_of_stream};

fn ring() -> Ring {
    Ring::new(8).expect("a ring")
}

/// Lets go of what takes its buffers from a group of the same ring.
fn with_group(way: Way, params: BufferGroupParams, let_go: impl Fn(Ring, BufferGroup, Way)) {
    let ring = ring();
    let (major, minor) = if params == params.incremental() {
        (6, 12)
    } else {
        (5, 19)
    };
    if let Some(group) = kernel::since(major, minor, ring.register_group(params)) {
        let_go(ring, group, way);
    }
}

/// Buffers that the allocator keeps an eye on are not what a group has: these are mapped.
fn params() -> BufferGroupParams {
    BufferGroupParams::new(4, u32::try_from(BYTES).expect("a buffer's size"))
}

/// Lets go of what works on a socket that data comes to all the time.
fn with_busy_socket(way: Way, let_go: impl FnOnce(UnixStream)) {
    let (socket, mut peer) = UnixStream::pair().expect("a pair");
    let writer = thread::spawn(move || while peer.write_all(&[9; 100]).is_ok() {});
    let_go(socket);
    // It goes on as long as a socket that is leaked.
    if !way.leaks() {
        writer.join().expect("no panic");
    }
}

pub(crate) const CASES: &[(&str, Case)] = &[
    ("AcceptMulti", |world, way| {
        let clients = [(); 3].map(|()| {
            let address = world.listener.local_addr().expect("one");
            std::net::TcpStream::connect(address).expect("connected")
        });
        let listener = Arc::clone(&world.listener);
        let_go_of_stream(ring(), way, AcceptMulti { listener });
        drop(clients);
    }),
    ("PollMulti", |world, way| {
        let (file, events) = (
            Arc::clone(&world.stream),
            u32::from(libc::POLLIN.cast_unsigned()),
        );
        let_go_of_stream(ring(), way, PollMulti { file, events });
    }),
    ("Ticks", |_, way| {
        let_go_of_stream(ring(), way, Ticks::new(Duration::from_millis(1)));
    }),
    ("RecvPicked", |world, way| {
        with_group(way, params(), |ring, buffers, way| {
            let (socket, flags) = (Arc::clone(&world.stream), 0);
            let recv = RecvPicked {
                socket,
                buffers,
                flags,
            };
            let_go_in(ring, way, recv);
        });
    }),
    ("RecvBundle", |world, way| {
        with_group(way, params(), |ring, buffers, way| {
            let (socket, flags) = (Arc::clone(&world.stream), 0);
            let recv = RecvBundle {
                socket,
                buffers,
                flags,
            };
            let_go_in(ring, way, recv);
        });
    }),
    ("ReadPicked", |world, way| {
        with_group(way, params(), |ring, buffers, way| {
            let (file, offset) = (Arc::clone(&world.direct), 0);
            let read = ReadPicked {
                file,
                buffers,
                offset,
            };
            let_go_in(ring, way, read);
        });
    }),
    ("RecvMulti", |_, way| {
        let small = BufferGroupParams::new(64, 1000);
        for params in [small, small.incremental()] {
            with_group(way, params, |ring, buffers, way| {
                with_busy_socket(way, |socket| {
                    let recv = RecvMulti {
                        socket,
                        buffers,
                        flags: 0,
                    };
                    let_go_of_stream(ring, way, recv);
                });
            });
        }
    }),
    ("RecvMultiBundle", |_, way| {
        let small = BufferGroupParams::new(64, 64);
        with_group(way, small, |ring, buffers, way| {
            with_busy_socket(way, |socket| {
                let recv = RecvMultiBundle {
                    socket,
                    buffers,
                    flags: 0,
                };
                let_go_of_stream(ring, way, recv);
            });
        });
    }),
    ("SendBundle", |world, way| {
        let ring = ring();
        let made = ring.register_send_queue(8, 1 << 20);
        let Some(mut queue) = kernel::since(5, 19, made) else {
            return;
        };
        // More than the socket has room for.
        queue.write_all(&vec![7; 8 << 20]).expect("room");
        let send = SendBundle::new(Arc::clone(&world.connected), queue);
        let_go_of_stream(ring, way, send);
    }),
    ("RecvMsgMulti", |world, way| {
        let small = BufferGroupParams::new(64, 1000);
        for params in [small, small.incremental()] {
            with_group(way, params, |ring, buffers, way| {
                // Each brings descriptors of its own.
                world.pass_descriptors();
                world.pass_descriptors();
                let recv = RecvMsgMulti {
                    socket: Arc::clone(&world.stream),
                    buffers,
                    room: MessageRoom::new().address().descriptors(4),
                    flags: 0,
                };
                let_go_of_stream(ring, way, recv);
            });
        }
    }),
    ("RecvMsgMulti", |_, way| {
        let small = BufferGroupParams::new(64, 200);
        with_group(way, small, |ring, buffers, way| {
            with_busy_socket(way, |socket| {
                let recv = RecvMsgMulti {
                    socket,
                    buffers,
                    room: MessageRoom::new(),
                    flags: 0,
                };
                let_go_of_stream(ring, way, recv);
            });
        });
    }),
    ("ReadMulti", |_, way| {
        with_group(way, params(), |ring, buffers, way| {
            with_busy_socket(way, |file| {
                let_go_of_stream(ring, way, ReadMulti { file, buffers });
            });
        });
    }),
];
