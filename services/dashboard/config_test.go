package dashboard_test

import (
	"strings"
	"testing"
	"time"

	"loom.internal/pkg/config"
	"loom.internal/pkg/envelope"
	"loom.internal/services/dashboard"
)

func TestConfigListsEveryFault(t *testing.T) {
	t.Parallel()
	good := testConfig(t)
	if err := good.Validate(); err != nil {
		t.Errorf("got %v of a good configuration", err)
	}
	bad := dashboard.Config{MasterKey: config.VersionedSecret{1: "short"}, GatewayURL: "ftp://x", PlaygroundURL: "http://u:p@x", BasePath: "loom/", Drain: -time.Second, DrainDelay: -1}
	err := bad.Validate()
	if err == nil {
		t.Fatal("got no error")
	}
	for _, want := range []string{
		"LOOM_DASHBOARD_ADDR", "_NATS_URL", "_NATS_REPLICAS", "_DATABASE_URL", "_ADMIN_DATABASE_URL", envelope.ErrMasterKey.Error(), "_GATEWAY_URL", "_PLAYGROUND_URL", "_BASE_PATH", "_DRAIN ", "_DRAIN_DELAY",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%s is not named in:\n%v", want, err)
		}
	}
	if strings.Contains(err.Error(), "short") {
		t.Error("the error shows the master key")
	}
}
