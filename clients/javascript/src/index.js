// Everything that the package offers. docs/protocol.md and docs/trust.md are the formats.

export { LeviError } from "./error.js";
export { formatSecret, newSecret, parseSecret } from "./session-secret.js";
export { openMessage, sealMessage } from "./message.js";
export { epochMessageKey, isVersion2, openMessageV2, parseNonce, sealMessageV2 } from "./message-v2.js";
export { deviceKeyOf, openEnvelope, parseDeviceKey, sealEnvelope } from "./envelope.js";
export { newKeys, publicKeysOf } from "./keys.js";
export { fingerprint } from "./member.js";
export { NO_HASH, commitmentTo, decodeRow, encodeEntry, signEntry } from "./entry.js";
export { DeviceList } from "./device-list.js";
export { extendList, geneses, readList } from "./read-list.js";
export { checkKeyring, openKeyring, sealKeyring } from "./keyring.js";
export { newPairingCode, pairingKeys, parsePairingCode } from "./pairing-code.js";
export { Join, openRequest, sealAnswer } from "./pairing.js";
export { formatRecoveryKey, parseRecoveryKey, recoveryKeys } from "./recovery-key.js";
export { deactivate, pair, register, resumePairing } from "./pair.js";
export { Reader } from "./reader.js";
export { Follower } from "./follow.js";
export { Realtime } from "./realtime.js";
export { TrustError } from "./trust.js";
