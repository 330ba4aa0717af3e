//! New settings while it runs. Sessions stay; what they have is judged by the rules of now.

use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;

use super::effects::Effects;
use super::gateway::{Cx, Gateway, first_topic_id};
use super::policy::Policies;
use super::settings::Settings;
use super::slots::Handle;
use super::upstream::LineId;
use crate::time::Time;

impl Gateway {
    /// Goes by other settings from now on. Name, gateway id, links but for their retry intervals,
    /// [`Settings::topic_prefix`] and whether state is recorded stay what they were.
    ///
    /// Sessions go on. A client that is not allowed any longer loses its session, and what a session has
    /// that its rule does not allow any longer (subscriptions, the will, waiting messages) is taken away.
    /// Profiles, and predefined ids that mean something else now, count for a client from its next CONNECT
    /// on; ids that are new count at once.
    pub fn reconfigure(&mut self, now: Time, mut settings: Settings, fx: &mut Effects) {
        let cx = &mut Cx::new(now, fx);
        // Whoever is in the way of the new rules goes under the old ones.
        settings.topic_prefix = self.settings.topic_prefix.clone();
        let policies = Policies::new(&settings);
        self.expel_denied(cx, &policies, &settings);
        settings.gateway_id = self.settings.gateway_id;
        settings.durable = self.settings.durable;
        settings.tell_states = self.settings.tell_states;
        settings.home_prefix = self.settings.home_prefix.clone();
        settings.name = core::mem::take(&mut self.settings.name);
        let mut links = core::mem::take(&mut self.settings.links);
        for (link, new) in links.iter_mut().zip(&settings.links) {
            if link.name == new.name {
                link.retry_interval = new.retry_interval;
            }
        }
        settings.links = links;
        let former = core::mem::replace(&mut self.settings, settings);
        if former.advertise_interval != self.settings.advertise_interval {
            let interval = self.settings.advertise_interval;
            self.advertise_at = (!interval.is_zero()).then(|| now.after(interval));
        }
        self.predefined.set(&self.settings, &mut self.topics);
        self.shift_topic_ids();
        let former = core::mem::replace(&mut self.policies, policies);
        let handles: Vec<Handle> = self.clients.iter().map(|(handle, _)| handle).collect();
        for handle in &handles {
            self.judge_anew(cx, *handle, &former);
        }
        self.tidy_predefined(cx, &handles);
        if self.settings.home_prefix.is_some() && self.lines.at(LineId::MAIN).broker.connected {
            // They may be other devices by the new rules.
            self.begin_round();
        }
    }

    fn expel_denied(&mut self, cx: &mut Cx<'_>, policies: &Policies, settings: &Settings) {
        let handles: Vec<Handle> = self.clients.iter().map(|(handle, _)| handle).collect();
        for handle in handles {
            let Some(client) = self.clients.get(handle) else { continue };
            let link = client.peer.as_ref().and_then(|peer| self.link_name(peer.link()));
            let Err(denied) = policies.judge(settings, &client.id, link) else { continue };
            let id = String::from(&*client.id);
            self.tell_expelled(cx, &id, denied.why, denied.origin);
            self.expel(cx, handle);
        }
    }

    /// Normal ids of new clients begin above the predefined ones of now, those of the others stay.
    fn shift_topic_ids(&mut self) {
        let first = first_topic_id(&self.settings);
        let by = self.first_topic_id.wrapping_sub(first);
        if by == 0 {
            return;
        }
        self.first_topic_id = first;
        let handles: Vec<Handle> = self.clients.iter().map(|(handle, _)| handle).collect();
        for handle in handles {
            if let Some(client) = self.clients.get_mut(handle) {
                client.topics.shift(by);
            }
        }
        self.next_offset = self.wrapped(self.next_offset);
    }

    fn judge_anew(&mut self, cx: &mut Cx<'_>, handle: Handle, former: &Policies) {
        let Some(client) = self.clients.get(handle) else { return };
        let prefix = former.get(client.rule).prefix.expand(&client.id);
        let link = client.peer.as_ref().and_then(|peer| self.link_name(peer.link()));
        // Those that are denied are gone.
        let Ok(rule) = self.policies.judge(&self.settings, &client.id, link) else { return };
        if let Some(client) = self.clients.get_mut(handle) {
            client.rule = rule;
        }
        self.change_prefix(cx, handle, &prefix);
        self.judge_session(cx, handle);
        self.rearm(handle);
    }

    /// Tables of predefined ids that nobody goes by any longer are let go of.
    fn tidy_predefined(&mut self, cx: &mut Cx<'_>, handles: &[Handle]) {
        let used: BTreeSet<u16> = self.clients.iter().map(|(_, c)| c.predefined).collect();
        if self.predefined.tidy(&used, &mut self.topics) {
            return;
        }
        // So many changes, and still somebody of before each of them.
        for handle in handles {
            if let Some(client) = self.clients.get_mut(*handle) {
                client.predefined = self.predefined.of_rule(client.rule);
            }
            self.check_forms(cx, *handle);
        }
        let used = self.clients.iter().map(|(_, client)| client.predefined).collect();
        self.predefined.tidy(&used, &mut self.topics);
    }
}
