//! Messages to requests of the model, and answers of the model to messages.
//!
//! Requests are checked on the way for what only a message can have: enumeration
//! values that do not exist, leases, empty operations. What the model can say
//! and the store would refuse is checked by the store.

use super::error::ApiError;
use crate::model::{self, KvError};
use crate::proto::etcdserverpb as pb;
use crate::proto::mvccpb;

/// A read.
pub(super) fn range(request: pb::RangeRequest) -> Result<model::Range, ApiError> {
    use pb::range_request::{SortOrder, SortTarget};

    if request.key.is_empty() {
        return Err(KvError::EmptyKey.into());
    }
    let sort_order = match SortOrder::try_from(request.sort_order) {
        Ok(SortOrder::None) => model::SortOrder::None,
        Ok(SortOrder::Ascend) => model::SortOrder::Ascend,
        Ok(SortOrder::Descend) => model::SortOrder::Descend,
        Err(_) => return Err(ApiError::SortOption),
    };
    let sort_target = match SortTarget::try_from(request.sort_target) {
        Ok(SortTarget::Key) => model::SortTarget::Key,
        Ok(SortTarget::Version) => model::SortTarget::Version,
        Ok(SortTarget::Create) => model::SortTarget::Create,
        Ok(SortTarget::Mod) => model::SortTarget::Mod,
        Ok(SortTarget::Value) => model::SortTarget::Value,
        Err(_) => return Err(ApiError::SortOption),
    };
    Ok(model::Range {
        keys: key_range(request.key, request.range_end),
        limit: request.limit,
        revision: request.revision,
        sort_order,
        sort_target,
        keys_only: request.keys_only,
        count_only: request.count_only,
        min_mod_revision: request.min_mod_revision,
        max_mod_revision: request.max_mod_revision,
        min_create_revision: request.min_create_revision,
        max_create_revision: request.max_create_revision,
    })
}

/// A write.
pub(super) fn put(request: pb::PutRequest) -> Result<model::Put, ApiError> {
    if request.key.is_empty() {
        return Err(KvError::EmptyKey.into());
    }
    if request.ignore_value && !request.value.is_empty() {
        return Err(KvError::ValueProvided.into());
    }
    if request.ignore_lease && request.lease != 0 {
        return Err(ApiError::LeaseProvided);
    }
    if request.lease != 0 {
        // No lease can be granted yet, so none exists.
        return Err(ApiError::LeaseNotFound);
    }
    if request.ignore_lease {
        return Err(ApiError::Unsupported("ignore_lease"));
    }
    Ok(model::Put {
        key: request.key,
        value: request.value,
        prev_kv: request.prev_kv,
        ignore_value: request.ignore_value,
    })
}

/// A delete.
pub(super) fn delete_range(
    request: pb::DeleteRangeRequest,
) -> Result<model::DeleteRange, ApiError> {
    if request.key.is_empty() {
        return Err(KvError::EmptyKey.into());
    }
    Ok(model::DeleteRange {
        keys: key_range(request.key, request.range_end),
        prev_kv: request.prev_kv,
    })
}

/// A transaction.
pub(super) fn txn(request: pb::TxnRequest) -> Result<model::Txn, ApiError> {
    let compares = request.compare.into_iter().map(compare);
    Ok(model::Txn {
        compare: compares.collect::<Result<_, _>>()?,
        success: operations(request.success)?,
        failure: operations(request.failure)?,
    })
}

/// Whether a transaction may be answered from what this member has: it reads
/// nothing but ranges that say so. One that reads no range has not said so.
pub(super) fn is_serializable(request: &pb::TxnRequest) -> bool {
    let mut ranges = request.success.iter().chain(&request.failure).peekable();
    ranges.peek().is_some()
        && ranges.all(|operation| match &operation.request {
            Some(pb::request_op::Request::RequestRange(range)) => range.serializable,
            Some(pb::request_op::Request::RequestTxn(txn)) => is_serializable(txn),
            _ => false,
        })
}

fn operations(requests: Vec<pb::RequestOp>) -> Result<Vec<model::Op>, ApiError> {
    requests.into_iter().map(operation).collect()
}

fn operation(request: pb::RequestOp) -> Result<model::Op, ApiError> {
    use pb::request_op::Request;

    Ok(match request.request {
        Some(Request::RequestRange(request)) => model::Op::Range(range(request)?),
        Some(Request::RequestPut(request)) => model::Op::Put(put(request)?),
        Some(Request::RequestDeleteRange(request)) => {
            model::Op::DeleteRange(delete_range(request)?)
        }
        Some(Request::RequestTxn(request)) => model::Op::Txn(txn(request)?),
        // An empty operation is "key not found" to etcd.
        None => return Err(KvError::KeyNotFound.into()),
    })
}

fn compare(request: pb::Compare) -> Result<model::Compare, ApiError> {
    use pb::compare::{CompareResult, CompareTarget, TargetUnion};

    if request.key.is_empty() {
        return Err(KvError::EmptyKey.into());
    }
    let result = match CompareResult::try_from(request.result) {
        Ok(CompareResult::Equal) => model::CompareResult::Equal,
        Ok(CompareResult::Greater) => model::CompareResult::Greater,
        Ok(CompareResult::Less) => model::CompareResult::Less,
        Ok(CompareResult::NotEqual) => model::CompareResult::NotEqual,
        Err(_) => return Err(ApiError::Compare),
    };
    // A target whose value is left out compares with zero or nothing.
    let target = match (
        CompareTarget::try_from(request.target),
        request.target_union,
    ) {
        (Ok(CompareTarget::Version), Some(TargetUnion::Version(n))) => {
            model::CompareTarget::Version(n)
        }
        (Ok(CompareTarget::Create), Some(TargetUnion::CreateRevision(n))) => {
            model::CompareTarget::Create(n)
        }
        (Ok(CompareTarget::Mod), Some(TargetUnion::ModRevision(n))) => model::CompareTarget::Mod(n),
        (Ok(CompareTarget::Value), Some(TargetUnion::Value(bytes))) => {
            model::CompareTarget::Value(bytes)
        }
        (Ok(CompareTarget::Lease), Some(TargetUnion::Lease(n))) => model::CompareTarget::Lease(n),
        (Ok(CompareTarget::Version), _) => model::CompareTarget::Version(0),
        (Ok(CompareTarget::Create), _) => model::CompareTarget::Create(0),
        (Ok(CompareTarget::Mod), _) => model::CompareTarget::Mod(0),
        (Ok(CompareTarget::Value), _) => model::CompareTarget::Value(Vec::new()),
        (Ok(CompareTarget::Lease), _) => model::CompareTarget::Lease(0),
        (Err(_), _) => return Err(ApiError::Compare),
    };
    Ok(model::Compare {
        keys: key_range(request.key, request.range_end),
        result,
        target,
    })
}

fn key_range(key: Vec<u8>, range_end: Vec<u8>) -> model::KeyRange {
    model::KeyRange { key, range_end }
}

/// The answer to a read.
pub(super) fn range_response(
    header: Option<pb::ResponseHeader>,
    result: model::RangeResult,
) -> pb::RangeResponse {
    pb::RangeResponse {
        header,
        kvs: result.kvs.into_iter().map(key_value).collect(),
        more: result.more,
        count: result.count,
    }
}

/// The answer to a write.
pub(super) fn put_response(
    header: Option<pb::ResponseHeader>,
    result: model::PutResult,
) -> pb::PutResponse {
    pb::PutResponse {
        header,
        prev_kv: result.prev_kv.map(key_value),
    }
}

/// The answer to a delete.
pub(super) fn delete_range_response(
    header: Option<pb::ResponseHeader>,
    result: model::DeleteRangeResult,
) -> pb::DeleteRangeResponse {
    pb::DeleteRangeResponse {
        header,
        deleted: result.deleted,
        prev_kvs: result.prev_kvs.into_iter().map(key_value).collect(),
    }
}

/// The answer to a transaction. The answers inside carry the revision alone, as etcd's do.
pub(super) fn txn_response(
    header: Option<pb::ResponseHeader>,
    result: model::TxnResult,
) -> pb::TxnResponse {
    let inner = header.as_ref().map(|header| pb::ResponseHeader {
        revision: header.revision,
        ..pb::ResponseHeader::default()
    });
    let results = result.results.into_iter();
    pb::TxnResponse {
        header,
        succeeded: result.succeeded,
        responses: results
            .map(|result| operation_response(inner, result))
            .collect(),
    }
}

fn operation_response(
    header: Option<pb::ResponseHeader>,
    result: model::OpResult,
) -> pb::ResponseOp {
    use pb::response_op::Response;

    let response = match result {
        model::OpResult::Range(result) => Response::ResponseRange(range_response(header, result)),
        model::OpResult::Put(result) => Response::ResponsePut(put_response(header, result)),
        model::OpResult::DeleteRange(result) => {
            Response::ResponseDeleteRange(delete_range_response(header, result))
        }
        model::OpResult::Txn(result) => Response::ResponseTxn(txn_response(header, result)),
    };
    pb::ResponseOp {
        response: Some(response),
    }
}

fn key_value(kv: model::KeyValue) -> mvccpb::KeyValue {
    mvccpb::KeyValue {
        key: kv.key,
        create_revision: kv.create_revision,
        mod_revision: kv.mod_revision,
        version: kv.version,
        value: kv.value,
        lease: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range_op(serializable: bool) -> pb::RequestOp {
        pb::RequestOp {
            request: Some(pb::request_op::Request::RequestRange(pb::RangeRequest {
                key: b"k".to_vec(),
                serializable,
                ..pb::RangeRequest::default()
            })),
        }
    }

    #[test]
    fn a_txn_is_serializable_only_if_every_range_says_so() {
        let txn = |success: Vec<pb::RequestOp>, failure: Vec<pb::RequestOp>| pb::TxnRequest {
            compare: Vec::new(),
            success,
            failure,
        };

        assert!(is_serializable(&txn(
            vec![range_op(true)],
            vec![range_op(true)]
        )));
        assert!(!is_serializable(&txn(
            vec![range_op(true)],
            vec![range_op(false)]
        )));
        assert!(!is_serializable(&txn(vec![], vec![])));
    }

    #[test]
    fn a_compare_without_its_value_compares_with_zero() {
        let request = pb::Compare {
            key: b"k".to_vec(),
            target: pb::compare::CompareTarget::Mod.into(),
            ..pb::Compare::default()
        };

        let compare = compare(request).unwrap();

        assert_eq!(compare.target, model::CompareTarget::Mod(0));
    }

    #[test]
    fn enumeration_values_that_do_not_exist_are_refused() {
        let unsorted = pb::RangeRequest {
            key: b"k".to_vec(),
            sort_order: 9,
            ..pb::RangeRequest::default()
        };
        let incomparable = pb::Compare {
            key: b"k".to_vec(),
            result: 9,
            ..pb::Compare::default()
        };

        assert!(matches!(range(unsorted), Err(ApiError::SortOption)));
        assert!(matches!(compare(incomparable), Err(ApiError::Compare)));
    }
}
