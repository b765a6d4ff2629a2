//! Finds the contract's interfaces in a component's type and checks every function of them before guest code runs.

use wasmtime::component::types::{ComponentFunc, ComponentItem};
use wasmtime::component::{Component, ComponentNamedList, Instance, InstancePre, Lift, Lower, TypedFunc};
use wasmtime::{AsContextMut, Store};

use super::bindings::{batch, event_sink, event_source, flush, handover, lifecycle};
use super::host::HostState;
use super::load::LoadError;

/// The prefix of every interface of the contract.
const CONTRACT: &str = "hydrant:events/";

/// One interface that a component may export.
pub(super) trait Interface: Sized {
    /// Its full name and version. wasmtime finds 0.1.3 under 0.1.0.
    const NAME: &'static str;
    /// Where its functions are in a component.
    type Indices: Clone + Send + Sync;

    /// Checks the type of each function.
    fn check(component: &Exported<'_>) -> Result<(), LoadError>;
    /// Finds the functions.
    fn indices(pre: &InstancePre<HostState>) -> wasmtime::Result<Self::Indices>;
    /// The functions of one instance.
    fn load(indices: &Self::Indices, store: &mut Store<HostState>, instance: &Instance) -> wasmtime::Result<Self>;
}

macro_rules! interface {
    ($module:ident, $name:literal, $($function:literal: $typed:ident),+) => {
        impl Interface for $module::Guest {
            const NAME: &'static str = concat!("hydrant:events/", $name, "@0.1.0");
            type Indices = $module::GuestIndices;

            fn check(exported: &Exported<'_>) -> Result<(), LoadError> {
                $(exported.check(Self::NAME, $function, $module::Guest::$typed)?;)+
                Ok(())
            }

            fn indices(pre: &InstancePre<HostState>) -> wasmtime::Result<Self::Indices> {
                $module::GuestIndices::new(pre)
            }

            fn load(
                indices: &Self::Indices,
                store: &mut Store<HostState>,
                instance: &Instance,
            ) -> wasmtime::Result<Self> {
                indices.load(store.as_context_mut(), instance)
            }
        }
    };
}

interface!(event_sink, "event-sink", "put-event": func_put_event);
interface!(lifecycle, "lifecycle", "describe": func_describe, "open": func_open, "close": func_close);
interface!(flush, "flush", "flush": func_flush);
interface!(batch, "batch", "put-events": func_put_events);
interface!(handover, "handover", "save": func_save, "restore": func_restore);
interface!(
    event_source,
    "event-source",
    "describe": func_describe,
    "open": func_open,
    "bounds": func_bounds,
    "get-events": func_get_events,
    "close": func_close
);

/// What a component exports.
pub(super) struct Exported<'a> {
    component: &'a Component,
    pre: &'a InstancePre<HostState>,
}

impl<'a> Exported<'a> {
    pub(super) fn of(component: &'a Component, pre: &'a InstancePre<HostState>) -> Self {
        Self { component, pre }
    }

    /// The interface's functions if the component exports it.
    pub(super) fn optional<I: Interface>(&self) -> Result<Option<I::Indices>, LoadError> {
        if self.component.get_export_index(None, I::NAME).is_none() {
            return Ok(None);
        }
        I::check(self)?;
        I::indices(self.pre).map(Some).map_err(LoadError::Link)
    }

    /// Refuses a component without the interface that every sink, or source, has.
    pub(super) fn required<I: Interface>(&self, what: &'static str) -> Result<I::Indices, LoadError> {
        let missing = || LoadError::Lacks { what, expected: I::NAME, exports: exports_of(self.component) };
        self.optional::<I>()?.ok_or_else(missing)
    }

    fn check<P, R, G>(
        &self,
        interface: &'static str,
        function: &'static str,
        _typed: fn(&'static G) -> TypedFunc<P, R>,
    ) -> Result<(), LoadError>
    where
        G: 'static,
        P: ComponentNamedList + Lower,
        R: ComponentNamedList + Lift,
    {
        let wrong = |source| LoadError::WrongType { interface, function, source };
        let typed = self.function(interface, function).ok_or_else(|| wrong(None))?;
        typed.typecheck::<P, R>(&self.pre.instance_type()).map_err(|error| wrong(Some(error)))
    }

    fn function(&self, interface: &str, function: &str) -> Option<ComponentFunc> {
        let interface = self.component.get_export_index(None, interface)?;
        match self.component.get_export(Some(&interface), function)?.0 {
            ComponentItem::ComponentFunc(function) => Some(function),
            _ => None,
        }
    }
}

/// The names of a component's exports.
pub(super) fn exports_of(component: &Component) -> Vec<String> {
    component.component_type().exports(component.engine()).map(|(name, _)| name.to_owned()).collect()
}

/// The names of a component's imports.
pub(super) fn imports_of(component: &Component) -> Vec<String> {
    component.component_type().imports(component.engine()).map(|(name, _)| name.to_owned()).collect()
}

/// Whether a name belongs to the contract, in whatever version.
pub(super) fn is_of_contract(name: &str) -> bool {
    name.starts_with(CONTRACT)
}
