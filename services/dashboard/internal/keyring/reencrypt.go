package keyring

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"loom.internal/pkg/envelope"
	"loom.internal/pkg/store"
)

// Reencrypted is what one step of sealing anew did.
type Reencrypted struct {
	Looked int       `json:"looked_at"`
	Sealed int       `json:"sealed"` // in a dry run: would be
	Failed []Failure `json:"failed"` // left as they were
	Next   string    `json:"next"`   // where to go on; empty: nothing is left
	Epoch  uint32    `json:"epoch"`  // that bodies are sealed with now
}

// ReencryptBatch is how many traces one step takes at most.
const ReencryptBatch = 200

// reserve is the time that a step leaves to itself: it ends early rather than late, since
// whoever asked is then not told where to go on.
const reserve = 10 * time.Second

// Reencrypt seals the bodies of a tenant's traces with its active data key that are
// sealed with another, or with the one named: step by step from a position on, at most
// limit traces at a time. Each is opened as it will be stored, and compared, before it is
// stored. A dry run does all but that.
//
// It is for a data key that others may know. What is on the bus, in spools and in
// backups stays sealed with the old one, which therefore stays.
func (k *Keyring) Reencrypt(ctx context.Context, by, tenantID string, epoch int32, from string, limit int, dryRun bool) (Reencrypted, error) {
	r := Reencrypted{Failed: []Failure{}}
	at, id, err := parsePlace(from)
	if err != nil {
		return r, err
	}
	s := &sealing{Keyring: k, tenantID: tenantID, dry: dryRun, Reencrypted: &r, old: make(map[int32]*envelope.DataKey)}
	err = store.InTenant(ctx, k.opt.DB, tenantID, func(tx pgx.Tx) error {
		var active int32
		if err := tx.QueryRow(ctx, `SELECT epoch FROM tenant_keys WHERE tenant_id = $1 AND state = 'active'`, tenantID).Scan(&active); err != nil {
			return err
		}
		if s.fresh, err = k.Open(ctx, tx, tenantID, active); err != nil {
			return err
		}
		r.Epoch = s.fresh.Epoch()
		return nil
	})
	if err != nil {
		return r, fmt.Errorf("reencrypt: %w", err)
	}
	places, err := s.places(ctx, epoch, at, id, limit)
	if err != nil {
		return r, fmt.Errorf("reencrypt: %w", err)
	}
	if len(places) > 0 && !dryRun { // before the first is changed: a step may be broken off at any trace
		_, err := k.opt.DB.Exec(ctx, `
			INSERT INTO access_log (tenant_id, actor, action, detail)
			VALUES ($1, $2, 'keys.reencrypt', jsonb_build_object('traces', $3::int, 'after', $4::text, 'epoch', $5::int))`,
			tenantID, by, len(places), from, int32(r.Epoch)) //nolint:gosec // the table has none over 2^31
		if err != nil {
			return r, fmt.Errorf("reencrypt: %w", store.Wrap(err))
		}
	}
	done := 0
	for _, p := range places { // one at a time: bodies are large
		if until, ok := ctx.Deadline(); ok && done > 0 && time.Until(until) < reserve {
			break
		}
		if err := store.InTenant(ctx, k.opt.DB, tenantID, func(tx pgx.Tx) error { return s.trace(ctx, tx, p) }); err != nil {
			return r, fmt.Errorf("reencrypt trace %s: %w", p.id, err)
		}
		done++
	}
	if done > 0 && (done == limit || done < len(places)) {
		last := places[done-1]
		r.Next = last.at.UTC().Format(time.RFC3339Nano) + "/" + last.id.String()
	}
	return r, nil
}

func parsePlace(s string) (at time.Time, id uuid.UUID, err error) {
	if s == "" {
		return at, id, nil
	}
	day, text, _ := strings.Cut(s, "/")
	if at, err = time.Parse(time.RFC3339Nano, day); err == nil {
		id, err = uuid.Parse(text)
	}
	if err != nil {
		return at, id, ErrPosition
	}
	return at, id, nil
}

type place struct {
	at time.Time
	id uuid.UUID
}

// sealing is one step.
type sealing struct {
	*Keyring
	*Reencrypted
	tenantID string
	dry      bool
	fresh    *envelope.DataKey
	old      map[int32]*envelope.DataKey
}

// places are the next traces that have bodies to be sealed anew. Those that were shredded
// are none.
func (s *sealing) places(ctx context.Context, epoch int32, at time.Time, id uuid.UUID, limit int) (places []place, err error) {
	err = store.InTenant(ctx, s.opt.DB, s.tenantID, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `
			SELECT started_at, trace_id FROM trace_bodies
			WHERE tenant_id = $1 AND (started_at, trace_id) > ($2, $3)
			  AND encryption_key_version <> $4 AND ($5 = 0 OR encryption_key_version = $5)
			  AND encryption_key_version NOT IN (SELECT epoch FROM tenant_keys WHERE tenant_id = $1 AND state = 'shredded')
			ORDER BY started_at, trace_id LIMIT $6`, s.tenantID, at, id, int64(s.fresh.Epoch()), epoch, limit)
		if err != nil {
			return err
		}
		places, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (p place, err error) {
			err = row.Scan(&p.at, &p.id)
			return p, err
		})
		return err
	})
	return places, err
}

// body is one of a trace's two, as its columns have it.
type body struct {
	field          envelope.Field
	ciphertext, iv []byte
	codec          *int16
	length         *int64
	digest         []byte
}

// trace seals the bodies of one trace anew. One that cannot be opened is left as it is.
func (s *sealing) trace(ctx context.Context, tx pgx.Tx, p place) error {
	s.Looked++
	var (
		epoch  int32
		suite  int16
		bodies = []*body{{field: envelope.FieldRequest}, {field: envelope.FieldResponse}}
	)
	err := tx.QueryRow(ctx, `
		SELECT encryption_key_version, encryption_suite, request_body, request_iv, request_codec, request_length,
		       response_body, response_iv, response_codec, response_length
		FROM trace_bodies WHERE tenant_id = $1 AND started_at = $2 AND trace_id = $3 FOR UPDATE`, s.tenantID, p.at, p.id).
		Scan(&epoch, &suite, &bodies[0].ciphertext, &bodies[0].iv, &bodies[0].codec, &bodies[0].length,
			&bodies[1].ciphertext, &bodies[1].iv, &bodies[1].codec, &bodies[1].length)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil // its day has gone meanwhile
	}
	if err != nil {
		return err
	}
	if uint32(epoch) == s.fresh.Epoch() { //nolint:gosec // the table has none under 1
		return nil // another was faster
	}
	if err := s.again(ctx, tx, p.id.String(), epoch, suite, bodies); err != nil {
		if !errors.Is(err, envelope.ErrOpen) && !errors.Is(err, ErrShredded) && !errors.Is(err, ErrNoKey) && !errors.Is(err, envelope.ErrUnknownKeyVersion) {
			return err
		}
		s.Failed = append(s.Failed, Failure{"trace " + p.id.String(), err.Error()})
		return nil
	}
	s.Sealed++
	if s.dry {
		return nil
	}
	_, err = tx.Exec(ctx, `
		UPDATE trace_bodies SET encryption_key_version = $4, encryption_suite = $5,
		    request_body = $6, request_iv = $7, request_codec = $8, request_sha256 = $9,
		    response_body = $10, response_iv = $11, response_codec = $12, response_sha256 = $13
		WHERE tenant_id = $1 AND started_at = $2 AND trace_id = $3`, s.tenantID, p.at, p.id, int64(s.fresh.Epoch()), int16(envelope.SuiteAES256GCM),
		bodies[0].ciphertext, bodies[0].iv, bodies[0].codec, bodies[0].digest, bodies[1].ciphertext, bodies[1].iv, bodies[1].codec, bodies[1].digest)
	return err
}

func (s *sealing) again(ctx context.Context, tx pgx.Tx, id string, epoch int32, suite int16, bodies []*body) error {
	if s.old[epoch] == nil {
		key, err := s.Open(ctx, tx, s.tenantID, epoch)
		if err != nil {
			return err
		}
		s.old[epoch] = key
	}
	old, err := s.old[epoch].Trace(id)
	if err != nil {
		return err
	}
	fresh, err := s.fresh.Trace(id)
	if err != nil {
		return err
	}
	for _, b := range bodies {
		if b.ciphertext == nil {
			continue
		}
		if b.codec == nil || b.length == nil || suite < 0 || suite > 255 || *b.codec < 0 || *b.codec > 255 {
			return fmt.Errorf("%s: its row is not whole: %w", b.field, envelope.ErrOpen)
		}
		plain, err := old.Open(b.field, envelope.Sealed{
			Ciphertext: b.ciphertext, IV: b.iv, Suite: uint8(suite), Codec: envelope.Codec(*b.codec), Epoch: uint32(epoch), PlainLen: *b.length, //nolint:gosec // a key of that epoch was found
		})
		if err != nil {
			return fmt.Errorf("%s: %w", b.field, err)
		}
		sealed, err := fresh.Seal(b.field, plain, envelope.Codec(*b.codec))
		if err != nil {
			return err
		}
		back, err := fresh.Open(b.field, sealed)
		if err != nil || !bytes.Equal(back, plain) {
			return fmt.Errorf("%s, sealed anew: %w", b.field, envelope.ErrOpen)
		}
		digest := sha256.Sum256(sealed.Ciphertext)
		b.ciphertext, b.iv, b.digest = sealed.Ciphertext, sealed.IV, digest[:]
		*b.codec = int16(sealed.Codec)
	}
	return nil
}
