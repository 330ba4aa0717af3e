//! Being found (MQTT-SN 1.2 §6.1).

use core::time::Duration;

use crate::codec::Message;
use crate::core::effects::Effect;
use crate::core::gateway::{Cx, Gateway};
use crate::core::peer::{LinkId, PeerRef};
use crate::core::slots::Handle;
use crate::core::upstream::LineId;

impl Gateway {
    /// SEARCHGW: answered once, to the asker alone, without GwAdd. Some stacks keep a gateway entry
    /// per answer and read GwAdd as a raw socket address.
    pub(crate) fn on_search_gw(
        &mut self,
        cx: &mut Cx<'_>,
        peer: PeerRef<'_>,
        bound: Option<Handle>,
    ) {
        if self.settings.answer_search {
            let gateway_id = self.settings.gateway_id;
            peer.send(bound, &Message::GwInfo { gateway_id, address: &[] }, cx.fx);
        }
    }

    /// ADVERTISE on every link that has a broadcast, while there is a broker to offer. The announced
    /// time is half as long again as the real one: a single lost datagram must not make clients
    /// drop the gateway.
    pub(crate) fn advertise(&mut self, cx: &mut Cx<'_>) {
        if !self.lines.at(LineId::MAIN).broker.connected
            || self.settings.advertise_interval.is_zero()
        {
            return;
        }
        let announced = self.settings.advertise_interval.saturating_mul(3) / 2;
        let duration = u16::try_from(announced.max(Duration::from_secs(1)).as_secs());
        let message = Message::Advertise {
            gateway_id: self.settings.gateway_id,
            duration: duration.unwrap_or(u16::MAX),
        };
        for (index, link) in self.settings.links.iter().enumerate() {
            let Ok(index) = u16::try_from(index) else { break };
            if !link.broadcast {
                continue;
            }
            let bytes = cx.fx.store_with(|arena| {
                let start = arena.len();
                arena.resize(start + message.encoded_len(), 0);
                // ADVERTISE has five octets and always fits.
                let _ = arena.get_mut(start..).map(|out| message.encode(out));
            });
            cx.fx.push(Effect::Broadcast { link: LinkId(index), radius: 0, bytes });
            cx.fx.count_sent(&message);
        }
    }
}
