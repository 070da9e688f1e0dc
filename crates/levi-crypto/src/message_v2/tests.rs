use super::*;

#[test]
fn padme_lengths_follow_the_paper_and_cost_at_most_twelve_percent() {
    for (bytes, padded) in [(0, 0), (1, 1), (2, 2), (8, 8), (9, 10), (17, 18), (100, 104), (1000, 1024)] {
        assert_eq!(padme(bytes), padded, "{bytes}");
    }
    let mut last = 0;
    for bytes in 1..200_000 {
        let padded = padme(bytes);
        assert!(padded >= bytes && padded >= last && padme(padded) == padded, "{bytes}");
        assert!((padded - bytes) * 100 <= bytes * 12, "{bytes} becomes {padded}");
        last = padded;
    }
}

#[test]
fn debug_shows_the_epoch_and_no_key() {
    let secret = SessionSecret::parse("sess_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA").unwrap();
    let epoch_secret = EpochSecret::from_bytes([1; 32]);
    let key = EpochMessageKey::derive(&secret, &SessionId::from("s"), Epoch::FIRST, &epoch_secret);
    assert_eq!(format!("{:?}", key.unwrap()), "EpochMessageKey(Epoch(1), ..)");
}
