package event

// Dead is a message no consumer can take, as it came, and why. Its texts fit a
// column of Postgres whatever was sent: UTF-8 without NUL, and bounded.
type Dead struct {
	StreamSeq int64
	Subject   string
	MsgID     string
	Data      []byte
	Reason    string
	Place     Place // where it stands in its producer's sequence, as its headers say; zero if they do not

	// Awaits, if set, is the event's trace: its gateway is to send it again, so that its
	// number stays missing until then.
	Awaits string
}
