//! What may happen in a world of several objects.

use proptest::prelude::*;

use super::{
    course::Course,
    objects::valid,
    vault::Blur,
    world::{Fault, StatusFault, VAULT, World, connection, domains, source},
};
use crate::api::{CreationPolicy, DeletionPolicy, DriftPolicy, VaultSecretSpec};

/// How many objects there may be at once.
pub(super) const PLACES: usize = 3;

/// The environment keys that are spoken of.
pub(super) const KEYS: [&str; 2] = ["ONE", "TWO"];

#[derive(Clone, Debug)]
pub(super) enum Event {
    Create(usize, First),
    Delete(usize),
    Edit(usize, Edit),
    Strip(usize),
    Rotate(usize, u8),
    Permit(usize, bool),
    Revoke(usize, bool),
    CatchUp(usize),
    /// A pass over one that is due.
    Work,
    /// A pass over this one.
    Pass(usize),
    /// The same, with what meets it on its way.
    Meet(usize, Course, StatusFault),
    Restart,
    Sweep,
    List,
    Heed,
    Wait(i64),
    Blur(Blur),
    /// Others change a secret, delete one, add one.
    Change(usize, Option<u8>, Option<u8>),
    Take(usize),
    Add(usize),
}

/// What an object declares at first.
#[derive(Clone, Copy, Debug)]
pub(super) struct First {
    pub(super) target: u8,
    pub(super) connection: usize,
    pub(super) create: bool,
    pub(super) delete: bool,
    pub(super) report: bool,
    pub(super) domains: u8,
}

impl First {
    /// By its environment key, and nothing else asked for.
    pub(super) const PLAIN: Self = Self {
        target: 0,
        connection: 0,
        create: false,
        delete: false,
        report: false,
        domains: 0,
    };

    fn spec(self) -> VaultSecretSpec {
        let mut spec = VaultSecretSpec {
            vault_id: VAULT.into(),
            value_from: Some(source()),
            allowed_domains: Some(domains(self.domains)),
            allow_unrestricted: true,
            ..VaultSecretSpec::default()
        };
        let edits = [
            Edit::Target(self.target),
            Edit::Connection(self.connection),
            Edit::Create(self.create),
            Edit::Delete(self.delete),
            Edit::Report(self.report),
        ];
        for edit in edits {
            let before = spec.clone();
            edit.apply(&mut spec);
            if !valid(&spec) {
                spec = before;
            }
        }
        spec
    }
}

#[derive(Clone, Debug)]
pub(super) enum Edit {
    Target(u8),
    Create(bool),
    Delete(bool),
    Report(bool),
    Suspend(bool),
    Connection(usize),
    Domains(Option<u8>),
    ManageValue(bool),
}

impl Edit {
    fn apply(&self, spec: &mut VaultSecretSpec) {
        match *self {
            Self::Target(choice) => target(choice, spec),
            Self::Create(create) => {
                spec.creation_policy = if create {
                    CreationPolicy::IfMissing
                } else {
                    CreationPolicy::Never
                };
            }
            Self::Delete(delete) => {
                spec.deletion_policy = if delete {
                    DeletionPolicy::Delete
                } else {
                    DeletionPolicy::Retain
                };
            }
            Self::Report(report) => {
                spec.drift_policy = if report {
                    DriftPolicy::Report
                } else {
                    DriftPolicy::Correct
                };
            }
            Self::Suspend(suspend) => spec.suspend = suspend,
            Self::Connection(number) => spec.connection_ref = connection(number),
            Self::Domains(choice) => spec.allowed_domains = choice.map(domains),
            Self::ManageValue(managed) => spec.value_from = managed.then(source),
        }
    }
}

/// By key, by id, or by both.
fn target(choice: u8, spec: &mut VaultSecretSpec) {
    let key = |number: u8| Some(KEYS[usize::from(number % 2)].to_owned());
    let id = |number: u8| Some(format!("sec_{}", number % 2));
    (spec.env_key, spec.secret_id) = match choice {
        0..4 => (key(choice), None),
        4 | 5 => (None, id(choice)),
        6 | 7 => (key(choice), id(choice)),
        _ => (key(choice), id(choice + 1)),
    };
}

fn choice() -> impl Strategy<Value = u8> {
    prop_oneof![9 => Just(0u8), 3 => Just(1u8), 3 => Just(4u8), 3 => 5..9u8]
}

fn first() -> impl Strategy<Value = First> {
    let policies = (any::<bool>(), any::<bool>(), prop::bool::weighted(0.2));
    (choice(), 0..2usize, policies, 0..4u8).prop_map(
        |(target, connection, (create, delete, report), domains)| First {
            target,
            connection,
            create,
            delete,
            report,
            domains,
        },
    )
}

fn edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        1 => choice().prop_map(Edit::Target),
        1 => any::<bool>().prop_map(Edit::Create),
        3 => any::<bool>().prop_map(Edit::Delete),
        1 => any::<bool>().prop_map(Edit::Report),
        2 => any::<bool>().prop_map(Edit::Suspend),
        1 => (0..2usize).prop_map(Edit::Connection),
        1 => prop::option::weighted(0.8, 0..4u8).prop_map(Edit::Domains),
        1 => any::<bool>().prop_map(Edit::ManageValue),
    ]
}

/// What those do who use the operator, and what meets it. Of these some may happen in the midst of a pass.
fn own() -> impl Strategy<Value = Event> {
    let at = || 0..PLACES;
    prop_oneof![
        3 => (at(), first()).prop_map(|(at, first)| Event::Create(at, first)),
        3 => at().prop_map(Event::Delete),
        4 => (at(), edit()).prop_map(|(at, edit)| Event::Edit(at, edit)),
        1 => at().prop_map(Event::Strip),
        2 => (at(), 0..3u8).prop_map(|(at, content)| Event::Rotate(at, content)),
        3 => (at(), prop::bool::weighted(0.6)).prop_map(|(at, yes)| Event::Permit(at, yes)),
        1 => (0..2usize, any::<bool>()).prop_map(|(key, revoked)| Event::Revoke(key, revoked)),
        5 => at().prop_map(Event::CatchUp),
        8 => Just(Event::Work),
        3 => at().prop_map(Event::Pass),
        1 => Just(Event::Sweep),
        1 => prop_oneof![Just(Event::List), Just(Event::Heed)],
        1 => prop_oneof![Just(1), Just(20), Just(60), Just(700)].prop_map(Event::Wait),
    ]
}

fn theirs() -> impl Strategy<Value = Event> {
    let blur = prop_oneof![
        3 => Just(Blur::Nothing),
        1 => Just(Blur::Late),
        1 => (0..2usize).prop_map(Blur::Lacking),
        1 => (0..2usize).prop_map(Blur::Torn),
        1 => Just(Blur::Failing),
    ];
    prop_oneof![
        3 => (0..3usize, prop::option::of(0..2u8), prop::option::of(0..2u8))
            .prop_map(|(number, value, choice)| Event::Change(number, value, choice)),
        2 => (0..3usize).prop_map(Event::Take),
        1 => (0..2usize).prop_map(Event::Add),
        3 => blur.prop_map(Event::Blur),
    ]
}

fn course(outsiders: bool) -> impl Strategy<Value = Course> {
    let fault = prop_oneof![
        4 => Just(Fault::None),
        1 => Just(Fault::Outdated),
        1 => Just(Fault::Refused),
        1 => Just(Fault::LostBefore),
        2 => Just(Fault::LostAfter),
    ];
    let meanwhile = prop_oneof![
        10 => (0..PLACES).prop_map(Event::Pass).boxed(),
        20 => own().boxed(),
        2 * u32::from(outsiders) => theirs().boxed(),
    ];
    (
        prop::collection::vec(fault, 0..5),
        prop::collection::vec(prop::option::weighted(0.4, meanwhile), 0..6),
    )
        .prop_map(|(faults, meanwhile)| Course {
            faults: faults.into(),
            meanwhile: meanwhile.into(),
        })
}

/// Anything that may happen: with others who write to the vault, or without.
pub(super) fn event(outsiders: bool) -> impl Strategy<Value = Event> {
    let status = prop_oneof![
        4 => Just(StatusFault::None),
        1 => Just(StatusFault::NotWritten),
        1 => Just(StatusFault::LostAfter),
        1 => Just(StatusFault::Crash),
    ];
    let meet = (0..PLACES, course(outsiders), status)
        .prop_map(|(at, course, status)| Event::Meet(at, course, status));
    prop_oneof![
        36 => own(),
        10 => meet,
        1 => Just(Event::Restart),
        6 * u32::from(outsiders) => theirs(),
    ]
}

impl World {
    pub(super) fn happen(&mut self, event: &Event) {
        self.trace.push(format!("{event:?}"));
        match event {
            Event::Create(at, first) => self.create(*at, first.spec()),
            Event::Delete(at) => self.delete(*at),
            Event::Edit(at, edit) => self.respecify(*at, |spec| edit.apply(spec)),
            Event::Strip(at) => self.strip(*at),
            Event::Rotate(at, content) => self.rotate(*at, *content),
            Event::Permit(at, permitted) => self.permit(*at, *permitted),
            Event::Revoke(key, revoked) => self.revoke(*key, *revoked),
            Event::CatchUp(at) => self.catch_up(*at),
            Event::Work => {
                if let Some(at) = self.next_due() {
                    self.pass(at, &mut Course::default(), StatusFault::None);
                }
            }
            Event::Pass(at) => {
                if !self.lives[*at].running {
                    self.pass(*at, &mut Course::default(), StatusFault::None);
                }
            }
            Event::Meet(at, course, status) => {
                self.pass(*at, &mut course.clone(), *status);
            }
            Event::Restart => self.restart(),
            Event::Sweep => self.sweep(),
            Event::List => self.list(),
            Event::Heed => self.heed(),
            Event::Wait(seconds) => self.wait(*seconds),
            Event::Blur(blur) => self.vault.blur(*blur),
            Event::Change(number, value, choice) => {
                if let Some(id) = self.some_secret(*number) {
                    self.vault.outsider(&id, *value, *choice);
                }
            }
            Event::Take(number) => {
                if let Some(id) = self.some_secret(*number) {
                    self.vault.delete(&id);
                }
            }
            Event::Add(number) => {
                self.foreign_keys.insert(KEYS[*number].to_owned());
                self.vault.add(KEYS[*number]);
            }
        }
        self.forget_unmanaged();
    }

    fn some_secret(&self, number: usize) -> Option<String> {
        let secrets = &self.vault.secrets;
        let secret = secrets.get(number % secrets.len().max(1))?;
        Some(secret.id.clone())
    }
}
