//! Devices with a connection of their own. It comes with the first packet, goes at any time and takes
//! with it what has not been sent; and while there is none, nothing arrives in either direction.

use mqtt_sn_gateway::core::Pacing;

use crate::places::Place;
use crate::slow::{Key, Line, Lines};
use crate::world::{Event, World};

impl Lines {
    /// Devices that have a connection.
    pub fn connected(&self) -> usize {
        let own = |link: u16| self.plan.pacing[usize::from(link)] == Pacing::Device;
        self.lines.iter().filter(|((link, _), line)| own(*link) && !line.away).count()
    }
}

impl World {
    /// Whether a packet from a place reaches the gateway. The first one finds a connection.
    ///
    /// # Errors
    /// When the gateway does something wrong at that.
    pub(crate) fn has_connection(&mut self, from: Place) -> Result<bool, String> {
        let Some(lines) = &mut self.lines else { return Ok(true) };
        let Some(key) = lines.key(from) else { return Ok(true) };
        if lines.plan.pacing[usize::from(key.0)] != Pacing::Device {
            return Ok(true);
        }
        if let Some(line) = lines.lines.get(&key) {
            return Ok(!line.away);
        }
        let at_once = lines.rng.chance(500);
        self.connect(key.clone());
        if at_once && self.machine.alive {
            self.tell_room_of(&key)?;
        }
        Ok(true)
    }

    fn connect(&mut self, key: Key) {
        let Some(lines) = &mut self.lines else { return };
        lines.lives += 1;
        let life = lines.lives;
        lines.lines.insert(key.clone(), Line::new(life, false));
        let stay = lines.rng.between(1, lines.plan.stay);
        self.trace.line(self.clock.now(), || format!("{key:?} has a connection for {stay} ms"));
        self.clock.after(stay, Event::Parted { key, life });
    }

    /// A device loses its connection, with all that is under way.
    pub(crate) fn parted(&mut self, key: Key, life: u32) {
        let Some(lines) = &mut self.lines else { return };
        let Some(line) = lines.lines.get_mut(&key).filter(|line| line.life == life) else { return };
        lines.lives += 1;
        *line = Line::new(lines.lives, true);
        let pause = lines.rng.between(1, lines.plan.absence);
        self.trace.line(self.clock.now(), || format!("{key:?} is away for {pause} ms"));
        self.clock.after(pause, Event::Back { key });
    }

    /// It has one again, unless it is not there any more.
    pub(crate) fn back(&mut self, key: Key) {
        let Some(lines) = &mut self.lines else { return };
        if self.sensors.iter().any(|sensor| lines.key(sensor.address()).as_ref() == Some(&key)) {
            self.connect(key);
        } else {
            lines.lines.remove(&key);
        }
    }
}
