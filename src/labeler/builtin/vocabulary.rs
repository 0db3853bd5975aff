//! The words of the built-in labeler: the models' classes and the everyday names above them, from the lists in `models/`.

use std::{collections::BTreeSet, sync::LazyLock};

/// The names that labels can have, and how they stand to one another.
pub struct Vocabulary {
    /// The classifier's classes, by number.
    pub classes: Vec<Word>,
    /// The detector's classes, by number; `None` for the unused.
    pub objects: Vec<Option<Word>>,
    /// Names above the classes: `Dog`, `Animal`.
    pub groups: Vec<Word>,
}

/// One name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// As labels write it: `Golden Retriever`.
    pub name: String,
    /// More general names, the nearest first.
    pub parents: Vec<String>,
    /// The classifier's classes that it covers; none when the classifier does not know such a thing.
    pub members: BTreeSet<usize>,
}

impl Word {
    /// Whether it is an animal.
    pub fn is_animal(&self) -> bool {
        self.name == "Animal" || self.parents.iter().any(|parent| parent == "Animal")
    }

    /// Its subject areas, named as Rekognition names them.
    pub fn categories(&self) -> Vec<String> {
        let mut names = std::iter::once(&self.name).chain(&self.parents);
        let found = names.find_map(|name| CATEGORIES.iter().find(|(_, words)| words.contains(&name.as_str())));
        found.map(|(category, _)| (*category).to_owned()).into_iter().collect()
    }
}

/// Subject areas, and the names whose kinds fall under each.
const CATEGORIES: [(&str, &[&str]); 17] = [
    ("Person Description", &["Person"]),
    ("Animals and Pets", &["Animal"]),
    ("Vehicles and Automotive", &["Vehicle", "Transportation", "Watercraft", "Train"]),
    ("Food and Beverage", &["Food", "Fruit", "Vegetable", "Beverage", "Drink", "Dish", "Fungus"]),
    ("Plants and Flowers", &["Plant", "Flower"]),
    ("Nature and Outdoors", &["Nature", "Geological Formation", "Mountain", "Coast"]),
    ("Weapons and Military", &["Weapon", "Gun", "Military Vehicle"]),
    ("Sports", &["Sports Equipment", "Ball"]),
    ("Performing Arts", &["Musical Instrument"]),
    ("Apparel and Accessories", &["Clothing", "Hat", "Footwear", "Swimwear", "Bag", "Umbrella"]),
    ("Furniture and Furnishings", &["Furniture", "Chair", "Table", "Seat", "Lamp", "Vase"]),
    ("Technology and Computing", &["Computer", "Electronics", "Camera"]),
    ("Home Appliances", &["Appliance"]),
    ("Kitchen and Dining", &["Cookware", "Cutlery", "Cup", "Bottle", "Bowl", "Wine Glass"]),
    ("Tools and Machinery", &["Tool", "Wheel"]),
    ("Buildings and Architecture", &["Building", "Architecture", "House", "Bridge", "Castle", "Religious Building"]),
    ("Toys and Gaming", &["Toy", "Kite"]),
];

impl Vocabulary {
    /// The lists inside the program.
    pub fn embedded() -> &'static Self {
        static EMBEDDED: LazyLock<Vocabulary> = LazyLock::new(|| {
            Vocabulary::read(
                include_str!("../../../models/imagenet.txt"),
                include_str!("../../../models/coco.tsv"),
                include_str!("../../../models/hier.tsv"),
            )
        });
        &EMBEDDED
    }

    /// Reads the three lists: one class a line; an object with its parents and classes a line, `-` for the unused; a name with its classes a line.
    fn read(classes: &str, objects: &str, groups: &str) -> Self {
        let groups: Vec<(String, BTreeSet<usize>)> = groups
            .lines()
            .filter_map(|line| line.split_once('\t'))
            .map(|(name, members)| (name.to_owned(), numbers(members)))
            .collect();
        let above = |name: &str, members: &BTreeSet<usize>| -> Vec<String> {
            let own = groups.iter().position(|group| group.0 == name);
            let mut wider: Vec<(usize, &String)> = groups
                .iter()
                .enumerate()
                .filter(|(place, group)| {
                    let earlier_twin = group.1.len() > members.len() || own.is_none_or(|own| *place < own);
                    group.0 != name && earlier_twin && members.is_subset(&group.1)
                })
                .map(|(_, group)| (group.1.len(), &group.0))
                .collect();
            wider.sort();
            wider.into_iter().map(|(_, name)| name.clone()).collect()
        };
        let word = |name: String, members: BTreeSet<usize>| Word { parents: above(&name, &members), name, members };
        let object = |line: &str| {
            let mut columns = line.split('\t');
            let name = columns.next().filter(|name| *name != "-")?.to_owned();
            let parents = columns.next().unwrap_or_default();
            let members = columns.next().map(numbers).unwrap_or_default();
            if parents.is_empty() {
                let members = groups.iter().find(|group| group.0 == name).map(|group| group.1.clone());
                return Some(match members {
                    Some(members) => word(name, members),
                    None => Word { name, parents: Vec::new(), members: BTreeSet::new() },
                });
            }
            Some(Word { name, parents: parents.split(", ").map(str::to_owned).collect(), members })
        };
        Self {
            classes: classes
                .lines()
                .enumerate()
                .map(|(class, name)| word(title_case(name), BTreeSet::from([class])))
                .collect(),
            objects: objects.lines().map(object).collect(),
            groups: groups.iter().map(|(name, members)| word(name.clone(), members.clone())).collect(),
        }
    }

    /// The word of this name, whatever it stands for.
    pub fn word(&self, name: &str) -> Option<&Word> {
        let objects = self.objects.iter().flatten();
        self.groups.iter().chain(&self.classes).chain(objects).find(|word| word.name == name)
    }
}

fn numbers(text: &str) -> BTreeSet<usize> {
    text.split_whitespace().filter_map(|number| number.parse().ok()).collect()
}

/// `golden retriever` as `Golden Retriever`.
fn title_case(name: &str) -> String {
    let capital = |word: &str| {
        let mut chars = word.chars();
        chars.next().map(|first| first.to_uppercase().chain(chars).collect::<String>()).unwrap_or_default()
    };
    name.split(' ').map(capital).collect::<Vec<_>>().join(" ")
}
