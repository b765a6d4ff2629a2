//! `hydrant:events/key-value`

use crate::component::bindings::key_value::{Host, KeyValueError};
use crate::sink_store::{self, KeyValue};

/// The sink has no key-value: the lane that runs it provides none. Loading refuses such a sink, so a guest does not get here.
#[derive(Debug, thiserror::Error)]
#[error("key-value is not available on this lane")]
struct NotAvailable;

fn granted(key_value: &Option<KeyValue>) -> wasmtime::Result<&KeyValue> {
    Ok(key_value.as_ref().ok_or(NotAvailable)?)
}

impl Host for Option<KeyValue> {
    fn get(&mut self, key: String) -> wasmtime::Result<Option<Vec<u8>>> {
        Ok(granted(self)?.get(&key)?)
    }

    fn set(&mut self, key: String, value: Vec<u8>) -> wasmtime::Result<Result<(), KeyValueError>> {
        Ok(granted(self)?.set(&key, value)?.map_err(|error| match error {
            sink_store::KeyValueError::Quota => KeyValueError::Quota,
            sink_store::KeyValueError::KeyTooLarge => KeyValueError::KeyTooLarge,
            sink_store::KeyValueError::ValueTooLarge => KeyValueError::ValueTooLarge,
        }))
    }

    fn delete(&mut self, key: String) -> wasmtime::Result<()> {
        Ok(granted(self)?.delete(&key)?)
    }

    fn keys(&mut self, prefix: String, after: Option<String>, limit: u32) -> wasmtime::Result<Vec<String>> {
        Ok(granted(self)?.keys(&prefix, after.as_deref(), limit)?)
    }
}
