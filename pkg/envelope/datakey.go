package envelope

import (
	"context"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"io"
	"strconv"
)

// DataKey is what the bodies of one tenant are sealed with during one epoch. It is
// random, so that to forget it is to shred what it sealed.
type DataKey struct {
	tenant string
	epoch  uint32
	key    [KeyLength]byte
}

// NewDataKey makes the key of a tenant's epoch; epochs count from 1.
func NewDataKey(tenantID string, epoch uint32) *DataKey {
	k := &DataKey{tenant: tenantID, epoch: epoch}
	_, _ = rand.Read(k.key[:]) // never fails
	return k
}

// Epoch of the key; what it seals names it.
func (k *DataKey) Epoch() uint32 { return k.epoch }

// Format hides the key, whatever the verb.
func (k *DataKey) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, "data key "+strconv.FormatUint(uint64(k.epoch), 10)+" of "+k.tenant)
}

// WrappedDataKey is a DataKey at rest and on its way.
type WrappedDataKey struct {
	Epoch uint32 `json:"epoch"`
	Wrapped
}

// Wrap protects the key with a master key.
func (k *DataKey) Wrap(ctx context.Context, w Wrapper) (WrappedDataKey, error) {
	wrapped, err := w.Wrap(ctx, DataKeyLabel(k.tenant, k.epoch), k.key[:])
	if err != nil {
		return WrappedDataKey{}, fmt.Errorf("wrap %v: %w", k, err)
	}
	return WrappedDataKey{k.epoch, wrapped}, nil
}

// Unwrap gives the key that was wrapped for the tenant and this epoch; its errors are
// those of [Wrapper].Unwrap.
func (d WrappedDataKey) Unwrap(ctx context.Context, w Wrapper, tenantID string) (*DataKey, error) {
	k := &DataKey{tenant: tenantID, epoch: d.Epoch}
	plain, err := w.Unwrap(ctx, DataKeyLabel(tenantID, d.Epoch), d.Wrapped)
	if err != nil {
		return nil, fmt.Errorf("unwrap %v: %w", k, err)
	}
	defer clear(plain)
	if len(plain) != KeyLength {
		return nil, fmt.Errorf("unwrap %v: %w", k, ErrOpen)
	}
	copy(k.key[:], plain)
	return k, nil
}

// DataKeyLabel is what the data key of a tenant and epoch is wrapped under.
func DataKeyLabel(tenantID string, epoch uint32) Label {
	return Label{Purpose: PurposeTenant, Owner: tenantID, Context: []string{strconv.FormatUint(uint64(epoch), 10)}}
}

// TraceKey seals and opens the bodies of one trace. It is safe for concurrent use.
type TraceKey struct {
	tenant, trace string
	epoch         uint32
	aead          cipher.AEAD
}

// Trace derives the key of a trace.
func (k *DataKey) Trace(traceID string) (*TraceKey, error) {
	key, err := hkdf.Expand(sha256.New, k.key[:], string(prefixed("trace", traceID)), KeyLength)
	if err != nil {
		return nil, fmt.Errorf("derive trace key: %w", err)
	}
	aead, err := newAEAD(key)
	if err != nil {
		return nil, err
	}
	return &TraceKey{tenant: k.tenant, trace: traceID, epoch: k.epoch, aead: aead}, nil
}
