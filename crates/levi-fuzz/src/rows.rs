use levi_transport::rows::{ChangeRow, DeviceRow, MessageRow, SecretRow, SessionOwner, decode_rows};

/// The body of a select, read as rows of every table that Levi reads.
///
/// An error says where, and quotes nothing: the body may hold another user's data.
pub(crate) fn rows(body: &[u8]) {
    if let Ok(rows) = decode_rows::<MessageRow>(body) {
        for row in rows {
            // Either may be damaged; neither may panic.
            let (ciphertext, nonce) = (row.ciphertext(), row.nonce());
            assert_eq!(
                row.content_encrypted.text().is_empty(),
                ciphertext.is_ok_and(|bytes| bytes.is_empty())
            );
            assert_eq!(row.content_nonce.is_empty(), nonce.is_ok_and(|bytes| bytes.is_empty()));
        }
    }
    // The rows of the change feed are read in two ways.
    assert_eq!(ChangeRow::decode(body.to_vec()).ok(), decode_rows::<ChangeRow>(body).ok());
    let errors = [
        ChangeRow::decode(body.to_vec()).err(),
        decode_rows::<MessageRow>(body).err(),
        decode_rows::<DeviceRow>(body).err(),
        decode_rows::<SecretRow>(body).err(),
        decode_rows::<SessionOwner>(body).err(),
    ];
    for error in errors.into_iter().flatten() {
        assert!(error.to_string().len() < 200, "more than a place is said: {error}");
    }
}
