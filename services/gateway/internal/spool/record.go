package spool

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
)

// A record is a header of headerSize bytes and a payload. Integers are little endian.
//
//	 0  magic        4
//	 4  header sum   4  CRC32C of bytes 8 to 63
//	 8  length       4  of the payload
//	12  payload sum  4  CRC32C
//	16  id          16
//	32  epoch        8
//	40  number       8  of an end: its sequence number; of a begin: the reserve of its end
//	48  time         8  nanoseconds since the Unix epoch
//	56  kind         1
//	57  zero         7
//
// The header has a sum of its own so that a length is believed only when intact: it
// tells a record cut by a crash from one that was damaged later.
const headerSize = 64

// MaxPayload is the largest payload of a record, in bytes.
const MaxPayload = 64 << 20

// magic starts every record. It is no valid UTF-8: no text a client sent holds it.
var magic = []byte{0xFF, 'l', 's', 0xFE}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksum(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

type kind byte

const (
	kindBegin       kind = 1
	kindEnd         kind = 2
	kindInterrupted kind = 3 // an end that replay wrote
)

func (k kind) isEnd() bool { return k == kindEnd || k == kindInterrupted }

// record is a record without its payload's bytes.
type record struct {
	kind   kind
	id     [16]byte
	epoch  uint64
	number uint64
	time   int64
	length int64
	sum    uint32
}

// size is what the record takes on disk.
func (r *record) size() int64 { return recordSize(r.length) }

func recordSize(payload int64) int64 { return headerSize + payload }

func (r *record) append(b, payload []byte) []byte {
	start := len(b)
	b = append(b, magic...)
	b = append(b, 0, 0, 0, 0)
	b = binary.LittleEndian.AppendUint32(b, uint32(r.length)) //nolint:gosec // at most MaxPayload
	b = binary.LittleEndian.AppendUint32(b, r.sum)
	b = append(b, r.id[:]...)
	b = binary.LittleEndian.AppendUint64(b, r.epoch)
	b = binary.LittleEndian.AppendUint64(b, r.number)
	b = binary.LittleEndian.AppendUint64(b, uint64(r.time)) //nolint:gosec // bits kept as they are
	b = append(b, byte(r.kind), 0, 0, 0, 0, 0, 0, 0)
	binary.LittleEndian.PutUint32(b[start+4:], checksum(b[start+8:start+headerSize]))
	return append(b, payload...)
}

// parse reads a header. It says what is wrong with it, or "".
func (r *record) parse(b []byte) (wrong string) {
	switch {
	case len(b) < headerSize:
		return "header cut short"
	case !bytes.HasPrefix(b, magic):
		return "no record where one should start"
	case binary.LittleEndian.Uint32(b[4:]) != checksum(b[8:headerSize]):
		return "header checksum differs"
	}
	r.length = int64(binary.LittleEndian.Uint32(b[8:]))
	r.sum = binary.LittleEndian.Uint32(b[12:])
	r.id = [16]byte(b[16:32])
	r.epoch = binary.LittleEndian.Uint64(b[32:])
	r.number = binary.LittleEndian.Uint64(b[40:])
	r.time = int64(binary.LittleEndian.Uint64(b[48:])) //nolint:gosec // bits kept as they are
	r.kind = kind(b[56])
	switch {
	case r.kind < kindBegin || r.kind > kindInterrupted:
		return "record of an unknown kind"
	case r.length > MaxPayload:
		return "payload longer than any"
	}
	return ""
}

// formatVersion is that of the segments and of the state file.
const formatVersion = 1

// A segment starts with segmentHeaderSize bytes:
//
//	 0  magic     8  "loomspol"
//	 8  version   4
//	12  sum       4  CRC32C of bytes 16 to 47, XOR version
//	16  producer 16
//	32  epoch     8
//	40  first     8  sequence number the segment's first end has, or would have
const segmentHeaderSize = 48

const segmentMagic = "loomspol"

type segmentHeader struct {
	version  uint32
	producer [16]byte
	epoch    uint64
	first    uint64
}

func (h *segmentHeader) encode() []byte {
	b := make([]byte, 0, segmentHeaderSize)
	b = append(b, segmentMagic...)
	b = binary.LittleEndian.AppendUint32(b, h.version)
	b = append(b, 0, 0, 0, 0)
	b = append(b, h.producer[:]...)
	b = binary.LittleEndian.AppendUint64(b, h.epoch)
	b = binary.LittleEndian.AppendUint64(b, h.first)
	binary.LittleEndian.PutUint32(b[12:], checksum(b[16:])^h.version)
	return b
}

// parse reports whether b is an intact header.
func (h *segmentHeader) parse(b []byte) bool {
	if len(b) < segmentHeaderSize || string(b[:8]) != segmentMagic {
		return false
	}
	h.version = binary.LittleEndian.Uint32(b[8:])
	h.producer = [16]byte(b[16:32])
	h.epoch = binary.LittleEndian.Uint64(b[32:])
	h.first = binary.LittleEndian.Uint64(b[40:])
	return binary.LittleEndian.Uint32(b[12:]) == checksum(b[16:segmentHeaderSize])^h.version &&
		h.epoch > 0 && h.first > 0
}
