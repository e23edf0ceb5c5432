//! Sockets.

use std::net::TcpStream;
use std::sync::Arc;

use lio_uring::owned::{
    Accept, AcceptFrom, Address, Bind, Connect, Listen, Recv, Send, SendZc, Shutdown, Socket,
};

use crate::world::{BYTES, fresh_socket};
use crate::{Case, let_go};

pub(crate) const CASES: &[(&str, Case)] = &[
    ("Recv", |world, way| {
        let (socket, buffer) = (Arc::clone(&world.stream), vec![1; BYTES]);
        let_go(
            way,
            Recv {
                socket,
                buffer,
                flags: 0,
            },
        );
    }),
    ("Send", |world, way| {
        let (socket, buffer) = (Arc::clone(&world.stream), vec![1; 4 * BYTES]);
        let_go(
            way,
            Send {
                socket,
                buffer,
                flags: libc::MSG_WAITALL,
            },
        );
    }),
    ("SendZc", |world, way| {
        let (socket, buffer) = (Arc::clone(&world.connected), vec![1; 16 * BYTES]);
        let_go(
            way,
            SendZc {
                socket,
                buffer,
                flags: libc::MSG_WAITALL,
            },
        );
    }),
    ("Socket", |_, way| {
        let (domain, kind, protocol) = (libc::AF_UNIX, libc::SOCK_STREAM, 0);
        let_go(
            way,
            Socket {
                domain,
                kind,
                protocol,
            },
        );
    }),
    ("Accept", |world, way| {
        let listener = Arc::clone(&world.listener);
        let_go(way, Accept { listener });
    }),
    ("AcceptFrom", |world, way| {
        let_go(way, AcceptFrom::new(Arc::clone(&world.listener)));
    }),
    ("AcceptFrom", |world, way| {
        let address = world.listener.local_addr().expect("one");
        let _client = TcpStream::connect(address).expect("somebody listens");
        let_go(way, AcceptFrom::new(Arc::clone(&world.listener)));
    }),
    ("Connect", |world, way| {
        let address: Address = world.listener.local_addr().expect("one").into();
        let socket = fresh_socket(libc::AF_INET);
        let_go(way, Connect { socket, address });
    }),
    ("Bind", |world, way| {
        let address = Address::unix(world.folder.path().join("bound")).expect("an address");
        let socket = fresh_socket(libc::AF_UNIX);
        let_go(way, Bind { socket, address });
    }),
    ("Listen", |_, way| {
        let socket = fresh_socket(libc::AF_INET);
        let_go(way, Listen { socket, backlog: 5 });
    }),
    ("Shutdown", |world, way| {
        let (socket, how) = (Arc::clone(&world.stream), std::net::Shutdown::Write);
        let_go(way, Shutdown { socket, how });
    }),
];
