//! Paths, and what is known of files.

use std::fs::{self, File};
use std::sync::Arc;

use lio_uring::owned::{
    Cwd, FGetXattr, FSetXattr, GetXattr, Link, MakeDirectory, OpenAt, OpenAt2, Remove, Rename,
    ResolveFlags, SetXattr, Statx, Symlink,
};

use crate::world::{BYTES, World};
use crate::{Case, let_go};

fn directory(world: &World) -> Arc<File> {
    Arc::new(File::open(world.folder.path()).expect("the folder"))
}

pub(crate) const CASES: &[(&str, Case)] = &[
    ("MakeDirectory", |world, way| {
        let (directory, path) = (directory(world), c"made".into());
        let make = MakeDirectory {
            directory,
            path,
            mode: 0o700,
        };
        let_go(way, make);
    }),
    ("Remove", |world, way| {
        let remove = Remove {
            directory: Cwd,
            path: world.path("data"),
            flags: 0,
        };
        let_go(way, remove);
        fs::create_dir(world.folder.path().join("empty")).expect("room on the disk");
        let remove = Remove {
            directory: directory(world),
            path: c"empty".into(),
            flags: libc::AT_REMOVEDIR,
        };
        let_go(way, remove);
    }),
    ("Rename", |world, way| {
        let rename = Rename {
            from_directory: directory(world),
            from: c"data".into(),
            to_directory: Cwd,
            to: world.path("renamed"),
            flags: 0,
        };
        let_go(way, rename);
    }),
    ("Link", |world, way| {
        let link = Link {
            from_directory: Cwd,
            from: world.path("data"),
            to_directory: directory(world),
            to: c"linked".into(),
            flags: 0,
        };
        let_go(way, link);
    }),
    ("Symlink", |world, way| {
        let symlink = Symlink {
            target: c"data".into(),
            directory: directory(world),
            path: c"symlink".into(),
        };
        let_go(way, symlink);
    }),
    ("OpenAt", |world, way| {
        let open = OpenAt {
            directory: directory(world),
            path: c"opened".into(),
            flags: libc::O_RDWR | libc::O_CREAT,
            mode: 0o600,
        };
        let_go(way, open);
    }),
    ("OpenAt2", |world, way| {
        let (flags, resolve) = (libc::O_RDWR | libc::O_CREAT, ResolveFlags::BENEATH);
        let open = OpenAt2::new(directory(world), c"opened", flags, resolve).mode(0o600);
        let_go(way, open);
    }),
    ("Statx", |world, way| {
        let_go(way, Statx::new(directory(world), c"data"));
        let_go(way, Statx::of(Arc::clone(&world.file)));
    }),
    ("GetXattr", |world, way| {
        let get = GetXattr {
            path: world.path("data"),
            name: c"user.name".into(),
            buffer: vec![1; BYTES],
        };
        let_go(way, get);
    }),
    ("SetXattr", |world, way| {
        let set = SetXattr {
            path: world.path("data"),
            name: c"user.name".into(),
            buffer: vec![1; 1000],
            flags: 0,
        };
        let_go(way, set);
    }),
    ("FGetXattr", |world, way| {
        let get = FGetXattr {
            file: Arc::clone(&world.file),
            name: c"user.name".into(),
            buffer: vec![1; BYTES],
        };
        let_go(way, get);
    }),
    ("FSetXattr", |world, way| {
        let set = FSetXattr {
            file: Arc::clone(&world.file),
            name: c"user.name".into(),
            buffer: vec![1; 1000],
            flags: 0,
        };
        let_go(way, set);
    }),
];
