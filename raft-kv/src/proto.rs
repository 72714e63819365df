//! The client interface, generated from `proto/` at build time.
//!
//! Messages, clients and server traits of etcd's v3 interface. Nothing is
//! written by hand here; what the messages mean is said in the `.proto` files.

/// Keys, values and events.
#[allow(missing_docs, unreachable_pub, unused_qualifications, clippy::all)]
pub mod mvccpb {
    tonic::include_proto!("mvccpb");
}

/// The services with their requests and answers.
#[allow(missing_docs, unreachable_pub, unused_qualifications, clippy::all)]
pub mod etcdserverpb {
    tonic::include_proto!("etcdserverpb");
}
