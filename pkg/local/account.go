package local

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// dropTo returns the account to run Postgres as: nil for our own, which will do
// unless it is root, as whom Postgres refuses to run. Root takes the owner of
// the data directory, when there is one.
func dropTo(data string) (*syscall.Credential, error) {
	var owner syscall.Stat_t
	found := syscall.Stat(data, &owner) == nil
	if uid := os.Getuid(); uid != 0 {
		if found && int(owner.Uid) != uid {
			return nil, fmt.Errorf("%s belongs to uid %d, and this is uid %d: run Loom as its owner or as root, or use another data directory", data, owner.Uid, uid)
		}
		return nil, nil // what SysProcAttr takes for "no change"
	}
	if found && owner.Uid != 0 {
		return &syscall.Credential{Uid: owner.Uid, Gid: owner.Gid}, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, errU := strconv.ParseUint(u.Uid, 10, 32)
		gid, errG := strconv.ParseUint(u.Gid, 10, 32)
		if errU == nil && errG == nil && uid != 0 {
			return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
		}
	}
	return nil, errors.New("PostgreSQL does not run as root, and there is neither an account postgres nor nobody to run it as: run Loom as an ordinary user")
}

// give makes a private directory, new or old, belong to the account.
func give(dir string, to *syscall.Credential) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if to == nil {
		return nil
	}
	return os.Chown(dir, int(to.Uid), int(to.Gid))
}

// openPath lets the account pass through dir, and says so if it cannot pass
// through a directory above, which is not ours to change.
func openPath(dir string, to *syscall.Credential) error {
	if to == nil {
		return nil
	}
	st, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if err := os.Chmod(dir, st.Mode().Perm()|0o011); err != nil {
		return err
	}
	for p := filepath.Dir(dir); p != filepath.Dir(p); p = filepath.Dir(p) {
		if st, err := os.Stat(p); err == nil && st.Mode().Perm()&0o001 == 0 {
			return fmt.Errorf("the account PostgreSQL runs as (uid %d) may not pass through %s (mode %v): use a data directory such as /var/lib/loom, or run Loom as an ordinary user", to.Uid, p, st.Mode().Perm())
		}
	}
	return nil
}
