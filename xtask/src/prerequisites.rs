//! What building RocksDB needs: a C++ compiler, and libclang for its bindings; and a
//! browser for one test, if it comes easily.
//!
//! Looks first. What is missing is installed where we may (root on Debian or
//! Ubuntu); elsewhere the one command is printed and nothing is changed.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use crate::util;

/// Minutes that RocksDB takes to compile on two cores, about.
const ROCKSDB_MINUTES: &str = "10 to 15 minutes on two cores";

/// Looks for what RocksDB needs, installs it or says how, and tells if a long build is ahead.
pub(crate) fn prepare() -> Result<()> {
    prepare_tools()?;
    if !rocksdb_is_compiled(&util::target_dir()?) {
        println!(
            "RocksDB is compiled now, once; that takes about {ROCKSDB_MINUTES}. \
             Everything after it reuses it."
        );
    }
    Ok(())
}

/// Looks for the compiler and libclang, and installs them or says how.
pub(crate) fn prepare_tools() -> Result<()> {
    let missing = missing();
    if !missing.is_empty() {
        install(&missing)?;
        let still = self::missing();
        if !still.is_empty() {
            bail!(
                "{} still missing after the installation",
                still.join(" and ")
            );
        }
    }
    Ok(())
}

/// The parts of the toolchain that only the gate needs.
pub(crate) fn prepare_components() -> Result<()> {
    let components = [("fmt", "rustfmt"), ("clippy", "clippy")];
    let missing: Vec<_> = components
        .into_iter()
        .filter(|(verb, _)| !util::succeeds(&mut util::cargo([*verb, "--version"])))
        .map(|(_, component)| component)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let mut command = Command::new("rustup");
    command.args(["component", "add"]).args(&missing);
    util::run(&mut command)
}

/// A browser for the page of a simulated run, if it comes easily: without one a test is
/// skipped, so nothing here fails.
pub(crate) fn prepare_browser() {
    let is_there = |name: &str| util::succeeds(Command::new(name).arg("--version"));
    if BROWSERS.into_iter().any(is_there) {
        return;
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let may_install = Platform::of(&path) == Platform::Apt && is_root();
    if may_install {
        println!("installing Chromium, which tries out the page of a simulated run");
        let packages = ["install", "-y", "-q", "--no-install-recommends", "chromium"];
        let installed = apt(&["update", "-q"]).and_then(|()| apt(&packages));
        if installed.is_ok() {
            return;
        }
    }
    println!("no Chromium here: the test of the page of a simulated run is skipped");
}

/// Names under which Chromium and its kin are installed; `trace_page.rs` looks for them, too.
const BROWSERS: [&str; 4] = [
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
];

fn missing() -> Vec<&'static str> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut missing = Vec::new();
    if find_compiler(&path, env::var_os("CXX").as_deref()).is_none() {
        missing.push("a C++ compiler");
    }
    if find_libclang(&libclang_folders()).is_none() {
        missing.push("libclang");
    }
    missing
}

fn find_compiler(path: &OsStr, chosen: Option<&OsStr>) -> Option<PathBuf> {
    let names = chosen
        .into_iter()
        .chain(["c++", "g++", "clang++"].map(OsStr::new));
    let folders: Vec<_> = env::split_paths(path).collect();
    names
        .flat_map(|name| folders.iter().map(move |folder| folder.join(name)))
        .find(|program| program.is_file())
}

/// Where the binding generator looks for libclang, in its order.
fn libclang_folders() -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = env::var_os("LIBCLANG_PATH")
        .into_iter()
        .map(Into::into)
        .collect();
    let mut llvm_config = Command::new("llvm-config");
    if let Ok(output) = llvm_config.arg("--libdir").output() {
        folders.push(String::from_utf8_lossy(&output.stdout).trim().into());
    }
    folders.extend(linker_cache_folders());
    let parents = [
        "/usr/lib",
        "/usr/lib64",
        "/usr/local/lib",
        "/usr/local/lib64",
        "/lib",
        "/lib64",
    ];
    folders.extend(parents.map(PathBuf::from));
    for parent in ["/usr/lib", "/usr/local", "/opt"] {
        folders.extend(subfolders(Path::new(parent)).map(|folder| folder.join("lib")));
    }
    folders.extend(subfolders(Path::new("/usr/lib")));
    folders.extend(MACOS_FOLDERS.map(PathBuf::from));
    folders
}

const MACOS_FOLDERS: [&str; 4] = [
    "/Library/Developer/CommandLineTools/usr/lib",
    "/Applications/Xcode.app/Contents/Developer/Toolchains/XcodeDefault.xctoolchain/usr/lib",
    "/opt/homebrew/opt/llvm/lib",
    "/usr/local/opt/llvm/lib",
];

fn linker_cache_folders() -> Vec<PathBuf> {
    let output = ["ldconfig", "/sbin/ldconfig"]
        .into_iter()
        .find_map(|program| Command::new(program).arg("-p").output().ok());
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let text = text.unwrap_or_default();
    text.lines()
        .filter_map(|line| line.split_once("=> "))
        .map(|(_, file)| PathBuf::from(file.trim()))
        .filter(|file| file.file_name().is_some_and(is_libclang))
        .filter_map(|file| file.parent().map(Path::to_path_buf))
        .collect()
}

fn subfolders(folder: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
}

/// The first libclang in `places`, which are folders or, by the user's word, the file.
fn find_libclang(places: &[PathBuf]) -> Option<PathBuf> {
    places.iter().find_map(|place| {
        if place.is_file() && place.file_name().is_some_and(is_libclang) {
            return Some(place.clone());
        }
        let entries = fs::read_dir(place).ok()?.flatten();
        let mut files = entries.map(|entry| entry.path());
        files.find(|file| file.file_name().is_some_and(is_libclang) && file.exists())
    })
}

/// `libclang.so`, `libclang-14.so.1`, `libclang.dylib`; not `libclang-cpp.so`, which is another library.
fn is_libclang(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    let Some(rest) = name.strip_prefix("libclang") else {
        return false;
    };
    let version = rest.strip_prefix('-').unwrap_or(rest);
    let suffix = version.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    let suffix = suffix.trim_start_matches('.');
    // The dots before the suffix belong to it and to the version alike.
    suffix == "dylib" || suffix == "so" || suffix.starts_with("so.")
}

/// How packages are installed on this machine.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Platform {
    Apt,
    Dnf,
    Pacman,
    Brew,
    Unknown,
}

impl Platform {
    fn of(path: &OsStr) -> Self {
        let has = |program| env::split_paths(path).any(|folder| folder.join(program).is_file());
        let known = [
            ("apt-get", Self::Apt),
            ("dnf", Self::Dnf),
            ("pacman", Self::Pacman),
            ("brew", Self::Brew),
        ];
        let found = known.into_iter().find(|(program, _)| has(*program));
        found.map_or(Self::Unknown, |(_, platform)| platform)
    }

    const fn command(self) -> &'static str {
        match self {
            Self::Apt => "sudo apt-get update && sudo apt-get install -y g++ libclang-dev",
            Self::Dnf => "sudo dnf install -y gcc-c++ clang-devel",
            Self::Pacman => "sudo pacman -S --needed gcc clang",
            Self::Brew => "xcode-select --install; brew install llvm",
            Self::Unknown => "the package manager of this system: a C++ compiler and libclang",
        }
    }
}

fn install(missing: &[&str]) -> Result<()> {
    let missing = missing.join(" and ");
    let path = env::var_os("PATH").unwrap_or_default();
    let platform = Platform::of(&path);
    if platform != Platform::Apt || !is_root() {
        bail!(
            "RocksDB needs {missing}, not found here; install with\n\n    {}\n\nand repeat",
            platform.command()
        );
    }
    println!("RocksDB needs {missing}, not found here; installing through apt-get");
    apt(&["update", "-q"])?;
    apt(&[
        "install",
        "-y",
        "-q",
        "--no-install-recommends",
        "g++",
        "libclang-dev",
    ])
}

fn apt(arguments: &[&str]) -> Result<()> {
    let mut command = Command::new("apt-get");
    command.args(arguments);
    util::run(command.env("DEBIAN_FRONTEND", "noninteractive"))
}

fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output();
    output.is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

fn rocksdb_is_compiled(target_dir: &Path) -> bool {
    let build = target_dir.join("debug/build");
    subfolders(&build)
        .filter(|folder| {
            let name = folder.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with("librocksdb-sys-")
        })
        .any(|folder| folder.join("out/librocksdb.a").is_file())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::util::TestDir;

    #[test]
    fn the_c_interface_of_clang_is_told_from_its_cpp_interface() {
        let is = |name: &str| is_libclang(OsStr::new(name));

        assert!(is("libclang.so"));
        assert!(is("libclang.so.1"));
        assert!(is("libclang-14.so.1"));
        assert!(is("libclang-14.0.6.so"));
        assert!(is("libclang.dylib"));
        assert!(!is("libclang-cpp.so.14"));
        assert!(!is("libclangAST.a"));
        assert!(!is("libclang.a"));
    }

    #[test]
    fn libclang_is_found_in_a_folder_and_as_a_named_file() {
        let machine = TestDir::with(&[("empty/x", ""), ("llvm/libclang-17.so.1", "")]);
        let file = machine.path().join("llvm/libclang-17.so.1");
        let folders = [machine.path().join("empty"), machine.path().join("llvm")];

        assert_eq!(find_libclang(&folders).as_ref(), Some(&file));
        assert_eq!(
            find_libclang(std::slice::from_ref(&file)).as_ref(),
            Some(&file)
        );
        assert_eq!(find_libclang(&folders[..1]), None);
    }

    #[test]
    fn a_compiler_is_found_on_the_path_or_by_choice() {
        let machine = TestDir::with(&[("bin/g++", ""), ("own/fancy++", "")]);
        let path = machine.path().join("bin");
        let own = machine.path().join("own/fancy++");
        let nowhere = machine.path().join("absent");

        assert_eq!(
            find_compiler(path.as_os_str(), None),
            Some(path.join("g++"))
        );
        assert_eq!(
            find_compiler(nowhere.as_os_str(), None),
            None,
            "a folder without a compiler has none"
        );
        assert_eq!(
            find_compiler(path.as_os_str(), Some(own.as_os_str())),
            Some(own.clone())
        );
    }

    #[test]
    fn each_platform_is_told_by_its_package_manager() {
        let fedora = TestDir::with(&[("dnf", "")]);
        let debian = TestDir::with(&[("apt-get", "")]);
        let other = TestDir::with(&[]);

        assert_eq!(Platform::of(fedora.path().as_os_str()), Platform::Dnf);
        assert_eq!(Platform::of(debian.path().as_os_str()), Platform::Apt);
        assert_eq!(Platform::of(other.path().as_os_str()), Platform::Unknown);
    }

    #[test]
    fn rocksdb_counts_as_compiled_when_its_library_is_there() {
        let fresh = TestDir::with(&[("debug/build/librocksdb-sys-1/out/x", "")]);
        let built = TestDir::with(&[("debug/build/librocksdb-sys-1/out/librocksdb.a", "")]);

        assert!(!rocksdb_is_compiled(fresh.path()));
        assert!(rocksdb_is_compiled(built.path()));
    }
}
