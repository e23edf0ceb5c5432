//! Messages.

use std::net::UdpSocket;
use std::sync::Arc;

use lio_uring::owned::{
    Address, RecvHeader, RecvMsg, SendHeader, SendMsg, SendMsgZc, SendTo, SendToZc,
};

use crate::world::{BYTES, World};
use crate::{Case, let_go};

pub(crate) const CASES: &[(&str, Case)] = &[
    ("RecvMsg", |world, way| let_go(way, recv_msg(world, 0))),
    ("RecvMsg", |world, way| {
        world.pass_descriptors();
        let_go(way, recv_msg(world, 0));
    }),
    ("RecvMsg", |world, way| {
        // Some kernels have it wait for more with the descriptors in hand.
        world.pass_descriptors();
        let_go(way, recv_msg(world, libc::MSG_WAITALL));
    }),
    ("SendMsg", |world, way| {
        let descriptor = world.file.try_clone().expect("another").into();
        let_go(
            way,
            SendMsg {
                socket: Arc::clone(&world.stream),
                buffers: [vec![1; 4 * BYTES], vec![2; 4 * BYTES]],
                header: SendHeader::new().descriptors([descriptor]),
                flags: libc::MSG_WAITALL,
            },
        );
    }),
    ("SendMsgZc", |world, way| {
        let_go(
            way,
            SendMsgZc {
                socket: Arc::clone(&world.connected),
                buffers: vec![vec![1; 8 * BYTES], vec![2; 8 * BYTES]],
                header: SendHeader::new(),
                flags: libc::MSG_WAITALL,
            },
        );
    }),
    ("SendTo", |_, way| {
        let (socket, address) = datagrams();
        let_go(
            way,
            SendTo {
                socket,
                buffer: vec![1; DATAGRAM],
                address,
                flags: 0,
            },
        );
    }),
    ("SendToZc", |_, way| {
        let (socket, address) = datagrams();
        let_go(
            way,
            SendToZc {
                socket,
                buffer: vec![1; DATAGRAM],
                address,
                flags: 0,
            },
        );
    }),
];

/// Large enough to be kept, and small enough to be sent.
const DATAGRAM: usize = 60_000;

/// A socket, and its own address.
fn datagrams() -> (UdpSocket, Address) {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let address = socket.local_addr().expect("one").into();
    (socket, address)
}

type Streamed = RecvMsg<Arc<std::os::unix::net::UnixStream>, Vec<Vec<u8>>>;

fn recv_msg(world: &World, flags: i32) -> Streamed {
    RecvMsg {
        socket: Arc::clone(&world.stream),
        buffers: vec![vec![1; BYTES], vec![2; BYTES]],
        header: RecvHeader::with_descriptors(4),
        flags,
    }
}
