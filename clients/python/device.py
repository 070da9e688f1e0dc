"""This device: its keys, and whom it believes. Settings come from the environment, see read.py."""

import json
from pathlib import Path

from account import Account, setting
from levi.device_list import DeviceList
from levi.encoding import from_base64, to_base64
from levi.entry import MAX_SLOT
from levi.errors import LeviError, check
from levi.keyring import Keyring, open_keyring
from levi.keys import MemberKeys
from levi.read_list import extend_list, read_list


class TableDevice:
    """Without a device list: the server's word says whose key is whose."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self.id = setting("LEVI_DEVICE_ID").lower()
        self.private_key = setting("LEVI_DEVICE_PRIVATE_KEY")
        self.has_list = False

    def sender_key(self, device_id: str) -> str:
        sender = self._account.one("devices", select="public_key", id=f"eq.{device_id}")
        check(sender and sender["public_key"], "unknown-sender", f"device {device_id} has no public key")
        return sender["public_key"]

    def is_epoch(self, epoch: int) -> bool:
        return False

    def epoch_secret(self, epoch: int) -> bytes:
        raise LeviError("no-epoch", "the message needs the signed device list; pair this device")


class ListedDevice:
    """On the signed device list. `file` is what clients/javascript/examples/pair.mjs printed."""

    def __init__(self, account: Account, file: Path) -> None:
        stored = json.loads(file.read_text("utf-8"))
        device, pin = stored["device"], stored["pin"]
        self.id = device["id"]
        keys = {name: from_base64(device["keys"][name]) for name in ("signing", "envelope", "keyring")}
        self.private_key = device["keys"]["envelope"]
        self.has_list = True
        pinned = read_list(account.user_id, from_base64(pin["genesis"]), pin["rows"])
        self._devices: DeviceList = extend_list(pinned, list_rows(account))
        check(self._devices.active_member(self.id), "removed", "this device was removed from the device list")
        row = account.one("levi_keyrings", select="epoch,enc,sealed", member_id=f"eq.{self.id}")
        check(row, "no-keyring", "the server has no keyring for this device")
        self._keyring: Keyring = open_keyring(row, self._devices, self.id, MemberKeys(**keys))

    def sender_key(self, device_id: str) -> str:
        """Removed members included."""
        member = self._devices.member(device_id)
        check(member, "unknown-sender", "the device that sealed the envelope is not on the list")
        return to_base64(member.keys.envelope)

    def is_epoch(self, epoch: int) -> bool:
        """Not one that a recovery has cut off."""
        return any(rotation.epoch == epoch for rotation in self._devices.rotations)

    def epoch_secret(self, epoch: int) -> bytes:
        secret = self._keyring[epoch - 1] if epoch <= len(self._keyring) else None
        check(secret, "no-epoch", "this device does not have the secret of the message's epoch")
        return secret


def list_rows(account: Account) -> list[dict]:
    """All rows of the user's list. A server may return fewer than requested, so only an empty page is the end."""
    rows: list[dict] = []
    while page := account.select(
        "levi_device_list",
        select="slot,entry,signature,cosignature",
        user_id=f"eq.{account.user_id}",
        slot=f"gt.{rows[-1]['slot'] if rows else -1}",
        order="slot",
        limit=str(MAX_SLOT + 1),
    ):
        rows += page
    return rows
