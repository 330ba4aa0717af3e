//! What the broker was told of the clients.

use mqtt_sn_gateway::core::ClientState;

use crate::oracle::Verdict;
use crate::world::World;

/// Where the gateway says that it is there.
pub const STATUS: &str = "mqtt-sn-gateway/gateway/status";
/// Where it says how clients are; their ids have no character that would be written otherwise.
const CLIENTS: &str = "mqtt-sn-gateway/gateway/clients/";

impl World {
    /// The last that the broker was told of each client is true. To be asked when all is quiet.
    ///
    /// # Errors
    /// The first that is not.
    pub(crate) fn states_are_told(&self) -> Verdict {
        if !self.must_be_told() {
            return Ok(());
        }
        let gateway = self.engine.gateway();
        let status = self.broker.retained(STATUS).next().map(|(_, retained)| &*retained.payload);
        if status != Some(b"online") {
            return Err(format!("the broker has {status:?} as the status of the gateway"));
        }
        for (_, client) in gateway.clients(0, u32::MAX) {
            let may_be: &[&str] = match client.state() {
                ClientState::Connecting => continue,
                ClientState::Active => &["active"],
                ClientState::Asleep => &["asleep"],
                ClientState::Awake => &["awake"],
                ClientState::Gone => &["lost", "disconnected"],
            };
            let told = self.told_of(client.id());
            if !told.as_deref().is_some_and(|told| may_be.contains(&told)) {
                let id = client.id();
                return Err(format!("{id:?} is {may_be:?}, the broker was told {told:?}"));
            }
        }
        if self.machine.crashes > 0 {
            // Who left just before the end of a life is not known to the next one.
            return Ok(());
        }
        let of_clients = format!("{CLIENTS}+");
        for (topic, _) in self.broker.retained(&of_clients) {
            let id = topic.strip_prefix(CLIENTS).unwrap_or_default();
            let told = self.told_of(id);
            let gone = matches!(told.as_deref(), Some("lost" | "disconnected"));
            if gateway.client(id).is_none() && !gone {
                return Err(format!("{id:?} is no more, the broker was told {told:?}"));
            }
        }
        Ok(())
    }

    /// Ids of the clients whose sessions are kept although they have gone.
    pub(crate) fn kept_sessions(&self) -> Vec<String> {
        let all = self.engine.gateway().clients(0, u32::MAX).map(|(_, client)| client);
        let kept = all.filter(|client| client.state() == ClientState::Gone && !client.is_clean());
        kept.map(|client| client.id().to_owned()).collect()
    }

    /// The broker has nothing of these any more.
    ///
    /// # Errors
    /// The first of which it has.
    pub(crate) fn are_not_told_of(&self, ids: &[String]) -> Verdict {
        if !self.must_be_told() {
            return Ok(());
        }
        match ids.iter().find_map(|id| Some((id, self.told_of(id)?))) {
            Some((id, told)) => {
                Err(format!("the session of {id:?} has ended, the broker still has {told:?}"))
            }
            None => Ok(()),
        }
    }

    /// A broker that refuses at times may have thrown away what it was told, and at QoS 0 nobody hears of that.
    fn must_be_told(&self) -> bool {
        self.plan.tells && self.plan.broker.quota == 0
    }

    fn told_of(&self, id: &str) -> Option<String> {
        let topic = format!("{CLIENTS}{id}");
        let (_, retained) = self.broker.retained(&topic).next()?;
        let json: serde_json::Value =
            serde_json::from_slice(&retained.payload).expect("the gateway publishes JSON");
        json["state"].as_str().map(str::to_owned)
    }
}
