//! Compiles liburing from source and, with the feature `bindgen`, generates its bindings.
//!
//! A published package carries the source in `liburing/upstream`. A git checkout does not: there
//! the first build asks Cargo to fetch the package that `liburing/pin` names, and places its
//! source in that folder. `liburing/README.md` tells the whole story.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{self, Command};

/// The files of liburing that make up the library, `ffi.c` with the inline functions among them.
const SOURCES: [&str; 6] = [
    "setup.c",
    "queue.c",
    "register.c",
    "syscall.c",
    "version.c",
    "ffi.c",
];

type Result<T> = std::result::Result<T, String>;

fn main() {
    if let Err(message) = build() {
        println!("cargo::error={}", message.replace('\n', " "));
        process::exit(1);
    }
}

fn build() -> Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    if variable("CARGO_CFG_TARGET_OS")? != "linux" {
        return Ok(());
    }
    let liburing = PathBuf::from(variable("CARGO_MANIFEST_DIR")?).join("liburing");
    let upstream = place_upstream(&liburing)?;
    compile(&liburing, &upstream)?;
    #[cfg(feature = "bindgen")]
    generate_bindings(&liburing, &upstream)?;

    println!("cargo::metadata=version=2.15");
    println!(
        "cargo::metadata=include={}",
        upstream.join("src/include").display()
    );
    println!(
        "cargo::metadata=config={}",
        liburing.join("include").display()
    );
    Ok(())
}

fn variable(name: &str) -> Result<String> {
    env::var(name).map_err(|error| format!("the environment variable {name}: {error}"))
}

/// Makes sure that `liburing/upstream` holds the pinned source, and returns that folder.
fn place_upstream(liburing: &Path) -> Result<PathBuf> {
    let pin = liburing.join("pin");
    let upstream = liburing.join("upstream");
    let manifest = pin.join("Cargo.toml");
    if !manifest.exists() {
        return if upstream.join("src/setup.c").exists() {
            Ok(upstream)
        } else {
            Err(format!(
                "{} is missing, so this copy of lio-uring holds no liburing to compile. A published \
                 package has the folder; a git checkout has liburing/pin and fetches it. Take a \
                 whole package or a whole checkout.",
                upstream.display()
            ))
        };
    }
    let mut wanted = Vec::new();
    for file in [&manifest, &pin.join("Cargo.lock")] {
        println!("cargo::rerun-if-changed={}", file.display());
        wanted.extend(fs::read(file).map_err(|error| failed("read", file, &error))?);
    }
    if is_made_from(&upstream, &wanted) {
        return Ok(upstream);
    }

    let outdated = upstream.exists();
    let package = fetch_pinned_package(&manifest)?;
    let unfinished = liburing.join(format!("upstream.{}", process::id()));
    fs::create_dir_all(&unfinished).map_err(|error| failed("create", &unfinished, &error))?;
    let source = package.join("liburing");
    copy_tree(&source.join("src"), &unfinished.join("src"))?;
    for licence in ["LICENSE", "COPYING", "COPYING.GPL"] {
        copy_file(&source.join(licence), &unfinished.join(licence))?;
    }
    fs::write(unfinished.join(STAMP), &wanted)
        .map_err(|error| failed("write", &unfinished.join(STAMP), &error))?;
    move_into_place(&unfinished, &upstream, &wanted, outdated)?;
    Ok(upstream)
}

/// The copy of the pin, manifest and lock file, that tells what a folder of source was made from.
const STAMP: &str = "pin.txt";

fn is_made_from(upstream: &Path, pin: &[u8]) -> bool {
    fs::read(upstream.join(STAMP)).is_ok_and(|found| found == pin)
}

/// Renames a finished folder to its final name, after one that is outdated. Another build may do the
/// same at the same time: whichever comes second finds the folder there and drops its own.
fn move_into_place(unfinished: &Path, upstream: &Path, pin: &[u8], outdated: bool) -> Result<()> {
    let old = unfinished.with_file_name(format!("upstream.{}.old", process::id()));
    if outdated && !is_made_from(upstream, pin) && fs::rename(upstream, &old).is_ok() {
        fs::remove_dir_all(&old).map_err(|error| failed("remove", &old, &error))?;
    }
    if let Err(error) = fs::rename(unfinished, upstream) {
        fs::remove_dir_all(unfinished).map_err(|error| failed("remove", unfinished, &error))?;
        if !is_made_from(upstream, pin) {
            return Err(failed("create", upstream, &error));
        }
    }
    Ok(())
}

/// Has Cargo fetch what `liburing/pin/Cargo.lock` pins, checksum included, and returns its folder.
fn fetch_pinned_package(manifest: &Path) -> Result<PathBuf> {
    let host = variable("HOST")?;
    let metadata = [
        "metadata",
        "--locked",
        "--offline",
        "--format-version=1",
        "--filter-platform",
        &host,
    ];
    let answer = if let Ok(answer) = cargo(manifest, &metadata) {
        answer
    } else {
        cargo(manifest, &["fetch", "--locked", "--target", &host]).map_err(|error| {
            format!(
                "liburing's source is not here yet and could not be fetched. The first build of a \
                 git checkout needs a crates.io registry or a mirror of it, once; later builds and \
                 published packages need no network. If a checksum differs, the archive that came \
                 is not the pinned one: look at the registry, not at the lock file. {error}"
            )
        })?;
        cargo(manifest, &metadata)?
    };
    // The manifest's path follows the name in each package's description.
    let path = answer
        .split_once("\"name\":\"uring-sys2\",\"version\"")
        .and_then(|(_, rest)| rest.split_once("\"manifest_path\":\""))
        .and_then(|(_, rest)| rest.split('"').next())
        .ok_or("`cargo metadata` does not name uring-sys2, the package that liburing/pin pins")?;
    let manifest = PathBuf::from(path.replace("\\\\", "\\"));
    Ok(manifest.parent().unwrap_or(&manifest).to_path_buf())
}

/// Runs Cargo on the pin's manifest and returns what it printed.
fn cargo(manifest: &Path, arguments: &[&str]) -> Result<String> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(arguments)
        .arg("--manifest-path")
        .arg(manifest)
        // Not this build's: the jobs of an outer Cargo are not the inner one's to take.
        .env_remove("MAKEFLAGS")
        .env_remove("CARGO_MAKEFLAGS")
        .current_dir(manifest.parent().unwrap_or(Path::new(".")))
        .output()
        .map_err(|error| format!("could not run Cargo: {error}"))?;
    if output.status.success() {
        String::from_utf8(output.stdout).map_err(|error| format!("cargo {}: {error}", arguments[0]))
    } else {
        let said = String::from_utf8_lossy(&output.stderr);
        Err(format!("cargo {} said: {}", arguments[0], said.trim()))
    }
}

fn copy_tree(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).map_err(|error| failed("create", to, &error))?;
    for entry in fs::read_dir(from).map_err(|error| failed("read", from, &error))? {
        let entry = entry.map_err(|error| failed("read", from, &error))?;
        let kind = entry
            .file_type()
            .map_err(|error| failed("read", &entry.path(), &error))?;
        if kind.is_dir() {
            copy_tree(&entry.path(), &to.join(entry.file_name()))?;
        } else if is_source(&entry.path()) {
            copy_file(&entry.path(), &to.join(entry.file_name()))?;
        }
    }
    Ok(())
}

fn is_source(path: &Path) -> bool {
    path.extension()
        .and_then(OsStr::to_str)
        .is_some_and(|extension| matches!(extension, "c" | "h"))
}

/// Copies a file and its time: one that is newer than the build would be taken for changed.
fn copy_file(from: &Path, to: &Path) -> Result<()> {
    let copy = || {
        fs::copy(from, to)?;
        let time = fs::metadata(from)?.modified()?;
        fs::File::options().write(true).open(to)?.set_modified(time)
    };
    copy().map_err(|error| failed("copy", from, &error))
}

/// Has the build run again when a file in this folder changes.
fn watch(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder).map_err(|error| failed("read", folder, &error))? {
        let path = entry
            .map_err(|error| failed("read", folder, &error))?
            .path();
        if path.is_dir() {
            watch(&path)?;
        } else {
            println!("cargo::rerun-if-changed={}", path.display());
        }
    }
    Ok(())
}

fn failed(what: &str, path: &Path, error: &io::Error) -> String {
    format!("could not {what} {}: {error}", path.display())
}

/// Compiles liburing and the layout assertions into one archive.
fn compile(liburing: &Path, upstream: &Path) -> Result<()> {
    let ours = liburing.join("include");
    let layout = liburing.join("layout.c");
    watch(&ours)?;
    watch(&upstream.join("src"))?;
    println!("cargo::rerun-if-changed={}", layout.display());
    cc::Build::new()
        .files(SOURCES.map(|file| upstream.join("src").join(file)))
        .file(layout)
        .include(&ours)
        .include(upstream.join("src/include"))
        .flag("-include")
        .flag(ours.join("config-host.h"))
        .flag("-include")
        .flag(ours.join("symbols.h"))
        .define("_GNU_SOURCE", None)
        .define("_LARGEFILE_SOURCE", None)
        .define("_FILE_OFFSET_BITS", "64")
        .define("LIBURING_INTERNAL", None)
        .flag("-fvisibility=hidden")
        .flag_if_supported("-Wno-unused-parameter")
        .flag_if_supported("-Wno-missing-prototypes")
        .opt_level(3)
        .try_compile("lio_uring")
        .map_err(|error| {
            format!(
                "liburing could not be compiled; it needs a C compiler for the target {} (the \
                 package gcc or clang, or name one in CC) and the C library's and the kernel's \
                 headers (libc6-dev and linux-libc-dev, or linux-headers on Alpine). {error}",
                env::var("TARGET").unwrap_or_default()
            )
        })
}

#[cfg(feature = "bindgen")]
const C_LIBRARY_TYPES: [&str; 13] = [
    "cmsghdr",
    "cpu_set_t",
    "epoll_event",
    "id_t",
    "idtype_t",
    "iovec",
    "mode_t",
    "msghdr",
    "siginfo_t",
    "sigset_t",
    "sockaddr",
    "socklen_t",
    "statx",
];

/// Writes `bindings.rs` into `OUT_DIR`, by the same call that made `src/sys/bindings.rs`.
#[cfg(feature = "bindgen")]
fn generate_bindings(liburing: &Path, upstream: &Path) -> Result<()> {
    for name in ["LIBCLANG_PATH", "BINDGEN_EXTRA_CLANG_ARGS"] {
        println!("cargo::rerun-if-env-changed={name}");
    }
    let out = PathBuf::from(variable("OUT_DIR")?);
    let arguments = [
        format!("-I{}", liburing.join("include").display()),
        format!("-I{}", upstream.join("src/include").display()),
        // Without it io_uring_prep_ftruncate and io_uring_register_iowq_aff are not declared.
        "-D_GNU_SOURCE".into(),
        "-D_FILE_OFFSET_BITS=64".into(),
        // Makes ordinary functions of the inline ones, which ffi.c compiles.
        "-DIOURINGINLINE=".into(),
        "-DLIBURING_INTERNAL".into(),
    ];
    let bindings = bindgen::Builder::default()
        .header(upstream.join("src/include/liburing.h").to_string_lossy())
        .clang_args(arguments)
        .parse_callbacks(Box::new(LinkNames))
        .allowlist_file(".*/liburing\\.h")
        .allowlist_file(".*/liburing/.*\\.h")
        // Of the C library, not of liburing, and taken from the libc crate: their layouts differ
        // between targets, and one file serves all.
        .blocklist_type(C_LIBRARY_TYPES.join("|"))
        .blocklist_type("sigval|__sigval_t|siginfo_t__.*|__sigset_t|sa_family_t|statx_timestamp")
        .blocklist_type(
            "__(pid|uid|clock|uint32|int32|mode|id|off|loff|off64|socklen)_t|__cpu_mask",
        )
        .raw_line(format!("use libc::{{{}}};", C_LIBRARY_TYPES.join(", ")))
        // With _FILE_OFFSET_BITS, on every target.
        .blocklist_type("off_t|loff_t")
        .raw_line("pub type off_t = i64;")
        .raw_line("pub type loff_t = i64;")
        .blocklist_item(
            "LIBURING_NOEXCEPT|__NR_.*|uring_(un)?likely|UAPI_.*|LIO_URING_.*|_LOCAL_INLINE",
        )
        .clang_macro_fallback()
        .clang_macro_fallback_build_dir(&out)
        .default_enum_style(bindgen::EnumVariation::Consts)
        .prepend_enum_name(false)
        .generate_comments(false)
        // The layouts with pointers differ between targets; src/sys.rs asserts what must not.
        .layout_tests(false)
        .wrap_unsafe_ops(true)
        .use_core()
        .rust_edition(bindgen::RustEdition::Edition2024)
        .rust_target(bindgen::RustTarget::stable(87, 0).map_err(|error| error.to_string())?)
        .generate()
        .map_err(|error| {
            format!(
                "bindgen could not read liburing.h; the feature `bindgen` needs libclang \
                 (libclang-dev, or LIBCLANG_PATH). Without the feature nothing of it is needed. \
                 {error}"
            )
        })?
        .to_string();
    let file = out.join("bindings.rs");
    fs::write(&file, without_anonymous_names(&bindings))
        .map_err(|error| failed("write", &file, &error))
}

/// Drops the names that bindgen invents for anonymous enums: it numbers them, and the numbers
/// depend on the system's headers.
#[cfg(feature = "bindgen")]
fn without_anonymous_names(bindings: &str) -> String {
    const INVENTED: &str = "_bindgen_ty_";
    let mut kept = String::with_capacity(bindings.len());
    for line in bindings.lines() {
        if line.starts_with(&format!("pub type {INVENTED}")) {
            continue;
        }
        match line.split_once(&format!(": {INVENTED}")) {
            Some((name, rest)) if line.starts_with("pub const ") => {
                let value = rest.trim_start_matches(|digit: char| digit.is_ascii_digit());
                kept.push_str(name);
                kept.push_str(": ::core::ffi::c_uint");
                kept.push_str(value);
            }
            _ => kept.push_str(line),
        }
        kept.push('\n');
    }
    kept
}

/// Gives each function the link name that `liburing/include/symbols.h` gave it.
#[cfg(feature = "bindgen")]
#[derive(Debug)]
struct LinkNames;

#[cfg(feature = "bindgen")]
impl bindgen::callbacks::ParseCallbacks for LinkNames {
    fn generated_link_name_override(
        &self,
        item: bindgen::callbacks::ItemInfo<'_>,
    ) -> Option<String> {
        matches!(item.kind, bindgen::callbacks::ItemKind::Function)
            .then(|| format!("lio_{}", item.name))
    }
}
