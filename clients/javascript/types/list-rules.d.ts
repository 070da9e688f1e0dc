export function checkGenesis(userId: any, entry: any): void;
export function checkSlot(slot: any, head: any): void;
/** By kind: throws where the entry's body is not valid on the list. */
export const RULES: {
    add(list: any, { device }: {
        device: any;
    }, signer: any): void;
    remove(list: any, { removed, rotation }: {
        removed: any;
        rotation: any;
    }, signer: any): void;
    "new-recovery-key"(list: any, { recovery, rotation }: {
        recovery: any;
        rotation: any;
    }, signer: any): void;
    recover(list: any, { removed, device, rotation }: {
        removed: any;
        device: any;
        rotation: any;
    }, signer: any): void;
};
