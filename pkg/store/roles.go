package store

import (
	"context"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"
)

const scramIterations = 4096 // Postgres's own default

// SetRolePasswords gives each role (the key) its password (the value). The
// server is sent a SCRAM verifier, never the password, so that no statement log
// can hold it. Processes that do this at the same time wait for each other.
func SetRolePasswords(ctx context.Context, db Beginner, passwords map[string]string) error {
	return InTx(ctx, db, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, int64(rolesLock)); err != nil {
			return fmt.Errorf("lock roles: %w", err)
		}
		for _, role := range slices.Sorted(maps.Keys(passwords)) {
			verifier, err := scramVerifier(passwords[role])
			if err != nil {
				return fmt.Errorf("password of role %s: %w", role, err)
			}
			// ALTER ROLE takes no parameters: the server itself quotes them.
			var alter string
			if err := tx.QueryRow(ctx, `SELECT format('ALTER ROLE %I PASSWORD %L', $1::text, $2::text)`, role, verifier).Scan(&alter); err != nil {
				return fmt.Errorf("password of role %s: %w", role, err)
			}
			if _, err := tx.Exec(ctx, alter); err != nil {
				return fmt.Errorf("password of role %s: %w", role, err)
			}
		}
		return nil
	})
}

// scramVerifier is what Postgres stores for a password, RFC 5803.
func scramVerifier(password string) (string, error) {
	if password == "" {
		return "", errors.New("it is empty")
	}
	for _, r := range password {
		if r < ' ' || r > '~' { // others would need SASLprep, RFC 4013
			return "", errors.New("it may hold printable ASCII only")
		}
	}
	salt := make([]byte, 16)
	_, _ = rand.Read(salt) // never fails
	salted, err := pbkdf2.Key(sha256.New, password, salt, scramIterations, sha256.Size)
	if err != nil {
		return "", err
	}
	sign := func(text string) []byte {
		h := hmac.New(sha256.New, salted)
		h.Write([]byte(text))
		return h.Sum(nil)
	}
	stored := sha256.Sum256(sign("Client Key"))
	b64 := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("SCRAM-SHA-256$%d:%s$%s:%s", scramIterations, b64(salt), b64(stored[:]), b64(sign("Server Key"))), nil
}
