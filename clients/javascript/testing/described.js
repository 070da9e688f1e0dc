import { fingerprint } from "../src/member.js";

/** A device list as docs/vectors and the exchanges of `cargo xtask interop` describe it. */
export async function described(list) {
  const members = list.members.map(async ({ member, removed }) => ({
    id: member.id,
    member_type: member.type,
    name: member.name,
    fingerprint: await fingerprint(member),
    active: !removed,
  }));
  return {
    head: list.head,
    slot: list.slot,
    epoch: list.epoch,
    commitments: list.rotations.map(({ epoch, commitment }) => ({ epoch, commitment })),
    verify: await list.verifyCode(),
    members: await Promise.all(members),
  };
}
