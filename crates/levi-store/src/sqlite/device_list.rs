//! What this device remembers of its user's signed device list.

use levi_types::{DeviceListStore, EpochStart, SessionId, StoreError, UserId};
use rusqlite::{Connection, OptionalExtension as _};

use super::SqliteSessionStore;
use super::failure::Failure;

impl DeviceListStore for SqliteSessionStore {
    fn device_list(&self, user: &UserId) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(stored(&self.lock(), user)?)
    }

    fn replace_device_list(
        &self,
        user: &UserId,
        before: Option<&[u8]>,
        list: &[u8],
    ) -> Result<bool, StoreError> {
        Ok(self.durably(|connection| {
            if stored(connection, user)?.as_deref() != before {
                return Ok(false);
            }
            connection.execute(
                "INSERT INTO levi_store_device_list (user_id, list) VALUES (?1, ?2)
                 ON CONFLICT (user_id) DO UPDATE SET list = excluded.list",
                (user.as_str(), list),
            )?;
            Ok(true)
        })?)
    }

    fn epoch_starts(&self, user: &UserId, session: &SessionId) -> Result<Vec<EpochStart>, StoreError> {
        Ok(starts(&self.lock(), user, session)?)
    }

    fn keep_epoch_start(
        &self,
        user: &UserId,
        session: &SessionId,
        start: EpochStart,
    ) -> Result<(), StoreError> {
        Ok(self.durably(|connection| {
            connection.execute(
                "INSERT INTO levi_store_epoch_starts (user_id, session_id, epoch, sequence_number)
                 VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (user_id, session_id, epoch)
                 DO UPDATE SET sequence_number = min(sequence_number, excluded.sequence_number)",
                (user.as_str(), session.as_str(), start.epoch, start.sequence_number),
            )?;
            Ok(())
        })?)
    }
}

fn stored(connection: &Connection, user: &UserId) -> Result<Option<Vec<u8>>, Failure> {
    let list = "SELECT list FROM levi_store_device_list WHERE user_id = ?1";
    Ok(connection.query_row(list, [user.as_str()], |row| row.get(0)).optional()?)
}

fn starts(connection: &Connection, user: &UserId, session: &SessionId) -> Result<Vec<EpochStart>, Failure> {
    let mut statement = connection.prepare_cached(
        "SELECT epoch, sequence_number FROM levi_store_epoch_starts
         WHERE user_id = ?1 AND session_id = ?2 ORDER BY epoch",
    )?;
    let starts = statement.query_map((user.as_str(), session.as_str()), |row| {
        Ok(EpochStart { epoch: row.get(0)?, sequence_number: row.get(1)? })
    })?;
    Ok(starts.collect::<rusqlite::Result<_>>()?)
}

#[cfg(test)]
mod tests {
    use levi_crypto::at_rest::DatabaseKey;
    use levi_types::{DeviceListStore as _, EpochStart};

    use super::SqliteSessionStore;

    #[test]
    fn of_two_processes_that_replace_one_list_the_second_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let open = || {
            SqliteSessionStore::open(folder.path().join("store.sqlite"), DatabaseKey::from_bytes([1; 32]))
                .unwrap()
        };
        let (one, other, ada, ben) = (open(), open(), "ada".into(), "ben".into());
        assert_eq!(one.device_list(&ada).unwrap(), None);
        assert!(one.replace_device_list(&ada, None, b"1").unwrap());
        assert!(!other.replace_device_list(&ada, None, b"2").unwrap());
        assert!(other.replace_device_list(&ada, Some(b"1"), b"2").unwrap());
        assert!(!one.replace_device_list(&ada, Some(b"1"), b"3").unwrap());
        assert_eq!(open().device_list(&ada).unwrap().as_deref(), Some(&b"2"[..]));
        assert_eq!(one.device_list(&ben).unwrap(), None);
    }

    #[test]
    fn the_lowest_start_of_an_epoch_stays() {
        let folder = tempfile::tempdir().unwrap();
        let key = DatabaseKey::from_bytes([1; 32]);
        let store = SqliteSessionStore::open(folder.path().join("store.sqlite"), key).unwrap();
        let (user, session) = ("ada".into(), "s".into());
        for (epoch, sequence_number) in [(2, 7), (2, 9), (2, 5), (1, 1)] {
            store.keep_epoch_start(&user, &session, EpochStart { epoch, sequence_number }).unwrap();
        }
        let starts = [(1, 1), (2, 5)];
        let starts = starts.map(|(epoch, sequence_number)| EpochStart { epoch, sequence_number });
        assert_eq!(store.epoch_starts(&user, &session).unwrap(), starts);
        assert_eq!(store.epoch_starts(&"ben".into(), &session).unwrap(), []);
    }
}
