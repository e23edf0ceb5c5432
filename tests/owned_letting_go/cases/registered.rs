//! What works on registered places and buffers.

use std::fs::File;
use std::net::TcpStream;
use std::sync::Arc;

use lio_uring::BufferPool;
use lio_uring::owned::{
    AcceptDirect, AcceptMultiDirect, CloseDirect, Install, Lease, OpenDirect, ReadFixed,
    ReadvFixed, Ring, SendHeader, SendMsgZcFixed, SendZcFixed, Slots, SocketDirect, WriteFixed,
    WritevFixed,
};

use crate::world::BYTES;
use crate::{Case, Way, let_go_in, let_go_of_stream};

/// Lets go of what works on a registered buffer.
fn with_lease(way: Way, let_go: impl FnOnce(Ring, Lease, Way)) {
    let ring = Ring::new(8).expect("a ring");
    let bytes = u32::try_from(4 * BYTES).expect("a buffer's size");
    let pool = BufferPool::new(2, bytes).expect("memory");
    let pool = ring.register_pool(pool).expect("a registration");
    let lease = pool.take().expect("a buffer");
    drop(pool);
    let_go(ring, lease, way);
}

/// Lets go of what works on registered places.
fn with_slots(way: Way, let_go: impl FnOnce(Ring, Slots, Way)) {
    let ring = Ring::new(8).expect("a ring");
    let slots = ring.register_slots(2).expect("places");
    let_go(ring, slots, way);
}

pub(crate) const CASES: &[(&str, Case)] = &[
    ("ReadFixed", |world, way| {
        with_lease(way, |ring, buffer, way| {
            let (file, offset) = (Arc::clone(&world.direct), 0);
            let read = ReadFixed {
                file,
                buffer,
                offset,
            };
            let_go_in(ring, way, read);
        });
        with_lease(way, |ring, buffer, way| {
            let (file, offset) = (Arc::clone(&world.stream), u64::MAX);
            let read = ReadFixed {
                file,
                buffer,
                offset,
            };
            let_go_in(ring, way, read);
        });
    }),
    ("WriteFixed", |world, way| {
        with_lease(way, |ring, buffer, way| {
            let (file, offset) = (Arc::clone(&world.direct), 0);
            let write = WriteFixed {
                file,
                buffer,
                offset,
            };
            let_go_in(ring, way, write);
        });
    }),
    ("SendZcFixed", |world, way| {
        with_lease(way, |ring, buffer, way| {
            let (socket, flags) = (Arc::clone(&world.connected), libc::MSG_WAITALL);
            let send = SendZcFixed {
                socket,
                buffer,
                flags,
            };
            let_go_in(ring, way, send);
        });
    }),
    ("ReadvFixed", |world, way| {
        with_lease(way, |ring, buffer, way| {
            let read = ReadvFixed::new(Arc::clone(&world.direct), [buffer], 0);
            let_go_in(ring, way, read);
        });
        with_lease(way, |ring, buffer, way| {
            let read = ReadvFixed::new(Arc::clone(&world.stream), [buffer], u64::MAX);
            let_go_in(ring, way, read);
        });
    }),
    ("WritevFixed", |world, way| {
        with_lease(way, |ring, buffer, way| {
            let write = WritevFixed::new(Arc::clone(&world.direct), vec![buffer], 0);
            let_go_in(ring, way, write);
        });
    }),
    ("SendMsgZcFixed", |world, way| {
        with_lease(way, |ring, buffer, way| {
            let send = SendMsgZcFixed {
                socket: Arc::clone(&world.connected),
                buffers: [buffer],
                header: SendHeader::new(),
                flags: libc::MSG_WAITALL,
            };
            let_go_in(ring, way, send);
        });
    }),
    ("OpenDirect", |world, way| {
        with_slots(way, |ring, slots, way| {
            let open = OpenDirect {
                path: world.path("opened"),
                flags: libc::O_RDWR | libc::O_CREAT,
                mode: 0o600,
                slot: slots.take().expect("a place"),
            };
            let_go_in(ring, way, open);
        });
    }),
    ("SocketDirect", |_, way| {
        with_slots(way, |ring, slots, way| {
            let socket = SocketDirect {
                domain: libc::AF_UNIX,
                kind: libc::SOCK_STREAM,
                protocol: 0,
                slot: slots.take().expect("a place"),
            };
            let_go_in(ring, way, socket);
        });
    }),
    ("AcceptDirect", |world, way| {
        with_slots(way, |ring, slots, way| {
            let accept = AcceptDirect {
                listener: Arc::clone(&world.listener),
                slot: slots.take().expect("a place"),
            };
            let_go_in(ring, way, accept);
        });
    }),
    ("AcceptMultiDirect", |world, way| {
        let ring = Ring::new(8).expect("a ring");
        let slots = ring.register_picked_slots(4).expect("places");
        let clients = [(); 3].map(|()| {
            let address = world.listener.local_addr().expect("one");
            TcpStream::connect(address).expect("connected")
        });
        let listener = Arc::clone(&world.listener);
        let_go_of_stream(ring, way, AcceptMultiDirect { listener, slots });
        drop(clients);
    }),
    ("CloseDirect", |world, way| {
        with_slots(way, |ring, slots, way| {
            let slot = slots.insert(&*world.file).expect("a place");
            let_go_in(ring, way, CloseDirect { slot });
        });
    }),
    ("Install", |_, way| {
        with_slots(way, |ring, slots, way| {
            let file = File::open("/dev/null").expect("a file");
            let slot = slots.insert(file).expect("a place");
            let_go_in(ring, way, Install { slot });
        });
    }),
];
