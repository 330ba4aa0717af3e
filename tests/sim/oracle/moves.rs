//! Who is where: addresses that change, addresses that others get, and strangers.

use mqtt_sn_gateway::codec::{Message, ReturnCode};
use mqtt_sn_gateway::core::Takeover;
use mqtt_sn_gateway::time::Time;

use super::contract::Link;
use super::{Oracle, Place, SLACK, Verdict, is_liar};
use crate::stacks;

impl Oracle {
    /// Gets to know a sensor.
    pub fn introduce(&mut self, sensor: usize, client_id: &str) {
        let contract = &mut self.contracts[sensor];
        client_id.clone_into(&mut contract.client_id);
        contract.stack = stacks::of_client(client_id);
    }

    /// Whose client id this is.
    pub(super) fn named(&self, client_id: &[u8]) -> Option<usize> {
        self.contracts.iter().position(|contract| contract.client_id.as_bytes() == client_id)
    }

    /// A CONNECT comes from a place: whoever was there before is lost, without a goodbye, or sleeps
    /// on without an address.
    pub(super) fn displaces(&mut self, now: Time, sensor: usize, from: Place) {
        let former = self.bound.insert(from, sensor).filter(|former| *former != sensor);
        let Some(former) = former.filter(|f| self.contracts[*f].address == Some(from)) else {
            return;
        };
        if self.contracts[former].sleeps() {
            // Asleep, it is not there to be missed: a NAT gave its address away.
            let contract = &mut self.contracts[former];
            contract.address = None;
            contract.link = Link::Asleep;
            contract.abandon_exchanges();
            return;
        }
        self.note_silence(now, former);
        self.will_falls_due(former);
        self.contracts[former].address = None;
        self.ends(now, former);
    }

    /// The gateway refuses a CONNECT.
    pub(super) fn refusal(&mut self, now: Time, sensor: usize, from: Place) -> Verdict {
        let contract = &self.contracts[sensor];
        let here = contract.address == Some(from);
        let holds = match self.rules.takeover {
            Takeover::Always => false,
            Takeover::AsleepOrLost => {
                !here && matches!(contract.link, Link::Up | Link::Connecting { .. })
            }
            // An address is known as long as there is a session; that of a sleeper may have been
            // given away, but is not forgotten for that.
            Takeover::Never => !here && (contract.address.is_some() || contract.sleeps()),
        };
        // A will dialogue goes on for a while by itself.
        let dialogue = self.rules.retry * (u32::from(self.rules.retries) + 1) + SLACK;
        let over = now.since(contract.last_heard) >= dialogue.max(contract.most_silence());
        if self.disk_trouble() || (holds && !(contract.clean && over)) {
            return Ok(());
        }
        Err(format!("to sensor {sensor}: its CONNECT is refused, {:?}", contract.link))
    }

    /// A CONNECT with an id that no sensor has.
    pub(super) fn strange_connect(&mut self, now: Time, from: Place, refused: bool) -> Verdict {
        // Liars stay in places of their own.
        debug_assert!(is_liar(from), "{from:?} {now:?} {refused}");
        Ok(())
    }

    /// What goes to a place where a hostile peer is.
    pub(super) fn to_foreigner(&self, to: Place, message: &Message<'_>) -> bool {
        let nothing_of_others = !matches!(message, Message::Publish(_) | Message::Register { .. });
        is_liar(to) && nothing_of_others
    }

    /// What goes to a place where nobody is known to be.
    pub(super) fn to_stranger(&self, to: Place, message: &Message<'_>) -> Verdict {
        match message {
            Message::Disconnect { duration: None } | Message::GwInfo { .. } => Ok(()),
            Message::ConnAck { code } if *code != ReturnCode::ACCEPTED => Ok(()),
            _ => Err(format!("sent to {to:?}, an address without a connection: {message:?}")),
        }
    }
}
