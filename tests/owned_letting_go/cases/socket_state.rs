//! What sockets can be asked and told.

use std::sync::Arc;

use lio_uring::owned::{
    AddressOf, BytesReadable, BytesUnsent, GetSocketOption, SetSocketOption, SocketOption,
};

use crate::{Case, let_go};

pub(crate) const CASES: &[(&str, Case)] = &[
    ("BytesReadable", |world, way| {
        let socket = Arc::clone(&world.connected);
        let_go(way, BytesReadable { socket });
    }),
    ("BytesUnsent", |world, way| {
        let socket = Arc::clone(&world.connected);
        let_go(way, BytesUnsent { socket });
    }),
    ("AddressOf", |world, way| {
        let_go(way, AddressOf::local(Arc::clone(&world.connected)));
        let_go(way, AddressOf::peer(Arc::clone(&world.connected)));
    }),
    ("GetSocketOption", |world, way| {
        let socket = Arc::clone(&world.connected);
        let_go(way, GetSocketOption::new(socket, SocketOption::COOKIE));
    }),
    ("SetSocketOption", |world, way| {
        let socket = Arc::clone(&world.connected);
        let option = SocketOption::KEEP_ALIVE;
        let_go(way, SetSocketOption::new(socket, option, true));
    }),
];
