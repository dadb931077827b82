package gateway_test

import (
	"strings"
	"testing"

	"loom.internal/pkg/config"
	"loom.internal/services/gateway"
)

func TestConfig(t *testing.T) {
	t.Setenv("ENCRYPTION_MASTER_KEY", masterKey)
	var cfg gateway.Config
	if err := config.Load(gateway.Prefix, &cfg); err != nil {
		t.Fatal(err)
	}
	if cfg.Addr != "127.0.0.1:8080" || cfg.CaptureLimit != 16<<20 || cfg.MaxBody != 32<<20 {
		t.Errorf("defaults: got %+v", cfg)
	}
	cfg.Addr, cfg.MasterKey, cfg.CaptureLimit, cfg.Drain = "nowhere", config.VersionedSecret{1: "short"}, 17<<20, 0
	cfg.SpoolDir, cfg.SpoolMaxBytes, cfg.Durability, cfg.TracePolicy, cfg.ResendAfter, cfg.DrainDelay = "", 1, "luck", "maybe", 0, -1
	err := cfg.Validate()
	for _, want := range []string{
		"LOOM_GATEWAY_ADDR", "ENCRYPTION_MASTER_KEY", "LOOM_GATEWAY_CAPTURE_LIMIT", "LOOM_GATEWAY_DRAIN:", "LOOM_GATEWAY_DRAIN_DELAY", "LOOM_GATEWAY_SPOOL_DIR",
		"LOOM_GATEWAY_SPOOL_MAX_BYTES", "LOOM_GATEWAY_DURABILITY", "LOOM_GATEWAY_TRACE_POLICY", "LOOM_GATEWAY_RESEND_AFTER",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want it to name %s", err, want)
		}
	}
}
