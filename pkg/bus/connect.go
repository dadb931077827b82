package bus

import (
	"errors"
	"fmt"
	"log/slog"
	neturl "net/url"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"golang.org/x/time/rate"
)

// refusedEvery is how often it is told that the login is refused.
const refusedEvery = time.Minute

// errURL stands for every fault of an address: the parser's own error would show the
// password in it.
var errURL = errors.New("not an address such as nats://user:password@host:4222, or several with commas between " +
	"(in the password, letters, digits, - and _ stand for themselves, everything else is written as %40 is for @)")

// InboxPrefix is what the inboxes of a service begin with. Its user of the broker may
// listen to those and to nobody else's.
func InboxPrefix(service string) string { return "_INBOX_" + service }

// Connect dials NATS. It does not fail while the server is away, or refuses the login: it
// goes on trying, with a log line each time the connection comes or goes. Publishing while
// disconnected fails at once instead of filling a hidden buffer.
//
// The name is a service, or a service, a space and what it needs a further connection for.
// The address may hold a user and a password, which are in no log line and in no error.
func Connect(url, name string, log *slog.Logger, opts ...nats.Option) (*nats.Conn, error) {
	servers, err := hosts(url)
	if err != nil {
		return nil, fmt.Errorf("connect to NATS: %w", err)
	}
	service, _, _ := strings.Cut(name, " ")
	denied := &denials{log: log}
	login := rate.Sometimes{Interval: refusedEvery}
	refused := func(err error) {
		login.Do(func() {
			log.Error("NATS refuses the login, trying again: look at the user and the password in the address", slog.Any("error", err))
		})
	}
	opts = append([]nats.Option{
		nats.Name(name),
		nats.CustomInboxPrefix(InboxPrefix(service)),
		nats.RetryOnFailedConnect(true),
		nats.IgnoreAuthErrorAbort(), // a password may be changed here before it is there
		nats.MaxReconnects(-1),
		nats.ReconnectWait(500 * time.Millisecond),
		nats.ReconnectBufSize(-1),
		nats.ConnectHandler(func(c *nats.Conn) {
			log.Info("connected to NATS", slog.String("server", connected(c)))
		}),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				log.Warn("lost the connection to NATS, trying again", slog.Any("error", err))
			}
		}),
		nats.ReconnectErrHandler(func(_ *nats.Conn, err error) {
			if isLogin(err) {
				refused(err)
				return
			}
			log.Warn("NATS not reachable, trying again", slog.Any("error", err))
		}),
		nats.ReconnectHandler(func(c *nats.Conn) {
			log.Info("connected to NATS again", slog.String("server", connected(c)))
		}),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			switch {
			case errors.Is(err, nats.ErrPermissionViolation):
				denied.tell(err)
			case isLogin(err):
				refused(err)
			default:
				log.Error("NATS refused an operation", slog.Any("error", err))
			}
		}),
	}, opts...)
	nc, err := nats.Connect(url, opts...)
	if err != nil {
		return nil, fmt.Errorf("connect to NATS: %w", err)
	}
	if nc.Status() != nats.CONNECTED {
		log.Warn("NATS not reachable yet, trying in the background", slog.String("servers", servers))
	}
	return nc, nil
}

func isLogin(err error) bool {
	return errors.Is(err, nats.ErrAuthorization) || errors.Is(err, nats.ErrAuthExpired) || errors.Is(err, nats.ErrAuthRevoked)
}

// hosts checks an address, or a list of them, and returns it without what logs in there.
func hosts(list string) (string, error) {
	parts := strings.Split(list, ",")
	for i, part := range parts {
		part = strings.TrimSpace(part)
		if !strings.Contains(part, "://") { // as the client takes it
			part = "nats://" + part
		}
		u, err := neturl.Parse(part)
		// What follows the host would be the rest of a password with a / ? or # in it.
		if err != nil || u.Host == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
			return "", errURL
		}
		parts[i] = u.Scheme + "://" + u.Host
	}
	return strings.Join(parts, ","), nil
}

// connected is the server a connection goes to.
func connected(c *nats.Conn) string {
	server, err := hosts(c.ConnectedUrl())
	if err != nil {
		return "" // gone again
	}
	return server
}
