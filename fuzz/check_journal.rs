//! What has to hold for any octets in the place of a journal. Used by the fuzzer and by the tests.

use std::io;

use mqtt_sn_gateway::store::commit::{Commit, SyncMode};
use mqtt_sn_gateway::store::image::Image;
use mqtt_sn_gateway::store::journal::{Journal, OpenError, Opened, Storage};

/// A disk that holds one file.
#[derive(Clone, Debug, Default)]
struct Memory {
    journal: Option<Vec<u8>>,
    next: Vec<u8>,
}

impl Storage for &mut Memory {
    fn load(&mut self) -> io::Result<Option<Vec<u8>>> {
        Ok(self.journal.clone())
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.journal.get_or_insert_default().extend_from_slice(bytes);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        let length = usize::try_from(length).map_err(io::Error::other)?;
        self.journal.get_or_insert_default().truncate(length);
        Ok(())
    }

    fn begin(&mut self) -> io::Result<()> {
        self.next.clear();
        Ok(())
    }

    fn append_next(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.next.extend_from_slice(bytes);
        Ok(())
    }

    fn sync_next(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn replace(&mut self) -> io::Result<()> {
        self.journal = Some(std::mem::take(&mut self.next));
        Ok(())
    }

    fn abandon(&mut self) -> io::Result<()> {
        self.next.clear();
        Ok(())
    }
}

/// The octets are the file. If it can be opened, it can be opened again with the same result and
/// nothing left to cut.
pub fn check_file(octets: &[u8]) -> Result<Opened, OpenError> {
    let mut memory = Memory { journal: Some(octets.to_vec()), next: Vec::new() };
    let (_, image, opened) = Journal::open_salted(&mut memory, SyncMode::Batch, 1)?;
    assert_eq!(opened.size + opened.cut, octets.len() as u64);
    let (_, again, reopened) = Journal::open_salted(&mut memory, SyncMode::Batch, 2)?;
    assert_eq!((image, 0), (again, reopened.cut));
    assert_eq!((opened.size, opened.frames), (reopened.size, reopened.frames));
    Ok(opened)
}

/// The octets are the records of a commit, in a file that is whole.
pub fn check_records(octets: &[u8]) -> Result<Image, OpenError> {
    let mut memory = Memory::default();
    let (mut journal, ..) = Journal::open_salted(&mut memory, SyncMode::Batch, 1)?;
    let commit = Commit { number: 1, records: octets.to_vec(), snapshot: None };
    assert_eq!(journal.commit(&commit).journal, Ok(()));
    let mut expected = Image::default();
    let applied = expected.apply_all(octets);
    let result = Journal::open_salted(&mut memory, SyncMode::Batch, 2);
    assert_eq!(applied.is_ok(), result.is_ok(), "{applied:?}");
    let image = result?.1.unwrap_or_default();
    assert_eq!(image, expected);
    Ok(image)
}
