package progress

// Steps shows work that has many named parts, such as the building of images, below
// one item: what it does now, and which parts failed. Its methods may be called from
// many goroutines.
type Steps struct{ Item *Item }

// Start says that a part begins.
func (s Steps) Start(name string) { s.Item.Update(name) }

// Log says what a part reports.
func (s Steps) Log(name, text string) { s.Item.Update(name + ": " + text) }

// Done says that a part has ended.
func (s Steps) Done(name string, err error) {
	if err != nil {
		s.Item.Update(name + " failed: " + err.Error())
	}
}
