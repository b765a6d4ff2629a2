//! Keeps a store's memory and tables within the component's limits.

use wasmtime::ResourceLimiter;

use super::limits::Limits;

/// Sums over the whole store: wasmtime's own limiter counts each memory and each table by itself.
#[derive(Debug)]
pub(super) struct StoreLimiter {
    memory: Budget,
    table_elements: Budget,
    instances: usize,
}

#[derive(Debug)]
struct Budget {
    name: &'static str,
    limit: usize,
    used: usize,
    /// Whether growth was refused: the guest is told so, and what it does then often looks like another fault.
    refused: bool,
}

impl Budget {
    fn new(name: &'static str, limit: u64) -> Self {
        Self { name, limit: usize::try_from(limit).unwrap_or(usize::MAX), used: 0, refused: false }
    }

    fn grow(&mut self, current: usize, desired: usize) -> bool {
        let used = self.used.saturating_add(desired.saturating_sub(current));
        let allowed = used <= self.limit;
        if allowed {
            self.used = used;
        } else {
            self.refused = true;
        }
        allowed
    }
}

impl StoreLimiter {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            memory: Budget::new("memory", limits.memory),
            table_elements: Budget::new("table-elements", limits.table_elements),
            instances: usize::try_from(limits.instances).unwrap_or(usize::MAX),
        }
    }

    /// A limit at which growth was refused: its name and how much it allows.
    pub(super) fn refused(&self) -> Option<(&'static str, u64)> {
        let refused = [&self.memory, &self.table_elements].into_iter().find(|budget| budget.refused);
        refused.map(|budget| (budget.name, budget.limit as u64))
    }

    /// Linear memory in use, in bytes.
    pub(super) fn memory(&self) -> usize {
        self.memory.used
    }
}

impl ResourceLimiter for StoreLimiter {
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(self.memory.grow(current, desired))
    }

    fn table_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(self.table_elements.grow(current, desired))
    }

    fn instances(&self) -> usize {
        self.instances
    }

    fn tables(&self) -> usize {
        self.instances
    }

    fn memories(&self) -> usize {
        self.instances
    }
}
