package local

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

const natsStart = 10 * time.Second

// NATSOptions of StartNATS. Only StoreDir is required.
type NATSOptions struct {
	StoreDir   string       // where JetStream keeps its streams
	Host       string       // 127.0.0.1 when empty
	Port       int          // -1 any free port; 0 no listener: connections within the process only
	Sync       bool         // fsync every message before it is acknowledged
	MaxPayload int32        // largest message, in bytes; the server's default, 1 MiB, when 0
	Log        *slog.Logger // the server's log: warn and worse at warn, the rest at debug
}

// NATS is a NATS server with JetStream inside this process.
type NATS struct{ srv *server.Server }

// StartNATS starts the server and returns when it takes connections.
func StartNATS(opt NATSOptions) (*NATS, error) {
	if opt.StoreDir == "" {
		return nil, errors.New("start NATS: no store directory")
	}
	if err := os.MkdirAll(opt.StoreDir, 0o700); err != nil {
		return nil, fmt.Errorf("start NATS: %w", err)
	}
	if opt.Host == "" {
		opt.Host = "127.0.0.1"
	}
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	srv, err := server.NewServer(&server.Options{
		ServerName:             "loom",
		Host:                   opt.Host,
		Port:                   opt.Port,
		DontListen:             opt.Port == 0,
		NoSigs:                 true, // signals are the program's
		MaxPayload:             opt.MaxPayload,
		JetStream:              true,
		StoreDir:               opt.StoreDir,
		SyncAlways:             opt.Sync,
		DisableJetStreamBanner: true,
	})
	if err != nil {
		return nil, fmt.Errorf("start NATS: %w", err)
	}
	log := &natsLog{log: opt.Log, fatal: make(chan string, 1)}
	srv.SetLoggerV2(log, false, false, false)
	n := &NATS{srv: srv}
	srv.Start()
	for deadline := time.Now().Add(natsStart); ; {
		if srv.ReadyForConnections(50 * time.Millisecond) {
			return n, nil
		}
		select {
		case reason := <-log.fatal:
			n.Shutdown()
			return nil, fmt.Errorf("start NATS: %s", reason)
		default:
		}
		if time.Now().After(deadline) {
			n.Shutdown()
			return nil, fmt.Errorf("start NATS: not ready within %v", natsStart)
		}
	}
}

// Connect opens a connection: within the process when there is no listener.
func (n *NATS) Connect(opts ...nats.Option) (*nats.Conn, error) {
	nc, err := nats.Connect(n.ClientURL(), append(opts, nats.InProcessServer(n.srv))...)
	if err != nil {
		return nil, fmt.Errorf("connect to local NATS: %w", err)
	}
	return nc, nil
}

// InProcess is the option that makes a connection go within this process, whatever
// its address.
func (n *NATS) InProcess() nats.Option { return nats.InProcessServer(n.srv) }

// ClientURL is the address of the listener, "" when there is none.
func (n *NATS) ClientURL() string {
	if n.srv.Addr() == nil {
		return ""
	}
	return n.srv.ClientURL()
}

// Shutdown stops the server, with its streams on disk, and waits until it has.
func (n *NATS) Shutdown() {
	n.srv.Shutdown()
	n.srv.WaitForShutdown()
}

// natsLog is the server's logger.
type natsLog struct {
	log   *slog.Logger
	fatal chan string // the first reason the server could not start
}

var _ server.Logger = (*natsLog)(nil)

func (l *natsLog) debug(format string, v ...any) {
	l.log.Debug("nats", slog.String("text", fmt.Sprintf(format, v...)))
}

func (l *natsLog) warn(format string, v ...any) {
	l.log.Warn("nats", slog.String("text", fmt.Sprintf(format, v...)))
}

func (l *natsLog) Noticef(format string, v ...any) { l.debug(format, v...) }
func (l *natsLog) Debugf(format string, v ...any)  { l.debug(format, v...) }
func (l *natsLog) Tracef(format string, v ...any)  { l.debug(format, v...) }
func (l *natsLog) Warnf(format string, v ...any)   { l.warn(format, v...) }
func (l *natsLog) Errorf(format string, v ...any)  { l.warn(format, v...) }

// Fatalf keeps the reason for StartNATS, which reports it.
func (l *natsLog) Fatalf(format string, v ...any) {
	select {
	case l.fatal <- fmt.Sprintf(format, v...):
	default:
		l.warn(format, v...)
	}
}
