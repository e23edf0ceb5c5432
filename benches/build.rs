//! Compiles the C contestant, and liburing for it under the names that it has for everybody.

use std::env;
use std::path::PathBuf;

/// What the library passes on from its own build.
fn of_the_library(name: &str) -> PathBuf {
    let name = format!("DEP_LIO_URING_{name}");
    PathBuf::from(env::var_os(&name).unwrap_or_else(|| panic!("{name} is not set")))
}

fn main() {
    println!("cargo::rerun-if-changed=c");
    let (include, config) = (of_the_library("INCLUDE"), of_the_library("CONFIG"));
    let sources = include.join("..");
    cc::Build::new()
        .files(["setup.c", "queue.c", "register.c", "syscall.c"].map(|file| sources.join(file)))
        .files(["c/ring.c", "c/reads.c"])
        .include(&config)
        .include(&include)
        .flag("-include")
        .flag(config.join("config-host.h"))
        .define("_GNU_SOURCE", None)
        .define("LIBURING_INTERNAL", None)
        .flag_if_supported("-Wno-unused-parameter")
        .opt_level(3)
        .compile("contestant");
}
