//! Compiles the client interface from `proto/`. Needs no `protoc`: `protox` is one in Rust.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto");
    let files = protox::compile(["rpc.proto", "kv.proto"], ["proto"])?;
    tonic_prost_build::configure()
        // What a service declares and the server does not answer is "unimplemented".
        .generate_default_stubs(true)
        .compile_fds(files)?;
    Ok(())
}
