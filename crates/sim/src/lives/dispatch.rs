//! Sends orders on their way, and secrets to their guests.

use super::life::Life;
use super::outside::Happening;
use flint_core::event::{Event, ForgeEvent, GuestEvent};
use flint_core::id::{RunnerName, VmId};
use flint_core::plan::Action;
use flint_core::vm::Phase;

impl Life {
    pub(super) fn dispatch(&mut self, action: Action) {
        self.say(&format!("  -> {action:?}"));
        self.judge_order(&action);
        let life = self.daemon.life;
        self.soon(match action {
            Action::Launch { .. } => Happening::LaunchStep(life, action, 0),
            Action::Register { .. } => Happening::Registers(life, action),
            Action::Deregister { .. } => Happening::Removes(life, action),
            Action::Destroy { .. } => Happening::Destroys(life, action),
            Action::Scan { host } => Happening::HostLists(life, host, self.at()),
            Action::Ask { question } => Happening::Asked(life, question, self.at()),
        });
    }

    /// A secret waits in the daemon's memory until its guest is ready, if the row still wants it then.
    pub(super) fn hand_over(&mut self, event: &Event) {
        match event {
            Event::Forge(ForgeEvent::Registered { vm, attempt, .. }) => {
                let Some(row) = self.daemon.stored.vms.get(vm) else { return };
                let instance = &self.daemon.stored.instance;
                let name = RunnerName::of(*vm, &row.profile, instance, *attempt);
                if self.daemon.stored.wants_secret(*vm, *attempt) {
                    self.daemon.secrets.insert(*vm, (*attempt, name.as_str().to_owned()));
                    self.give(*vm);
                }
            }
            Event::Guest { vm, said: GuestEvent::Ready { .. } } => self.give(*vm),
            _ => {}
        }
    }

    fn give(&mut self, vm: VmId) {
        let ready = self.outside.guests.get(&vm).is_some_and(|guest| guest.ready);
        let Some((attempt, name)) = self.daemon.secrets.get(&vm).filter(|_| ready).cloned() else {
            return;
        };
        self.daemon.secrets.remove(&vm);
        let phase = self.daemon.stored.vms.get(&vm).map(|row| row.phase.clone());
        if self.daemon.stored.wants_secret(vm, attempt) {
            // Whoever is on the way out would start a runner in a guest that is about to go.
            if !matches!(phase, Some(Phase::Launching | Phase::Registering)) {
                self.find(format!("{vm} gets its secret although it is {phase:?}"));
            }
            self.receives(vm, name);
        }
    }
}
